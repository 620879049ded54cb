// A site that has the widget: pages of another origin than the API's, each with headers of its own.

import { createServer } from "node:http";

/** Listens on a port that is free; `close` ends it and every connection. */
export async function listen(handler) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections())),
  };
}

/** The attributes of a tag, written so that no value leaves its quotes. */
export const attributes = (values) =>
  Object.entries(values)
    .map(([name, value]) => ` ${name}="${String(value).replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;")}"`)
    .join("");

export const scriptTag = (source, values) => `<script src="${source}" async${attributes(values)}></script>`;

/** A site whose pages are put up while it runs: `site.put({ body, head, headers })` is the page's URL. */
export async function openSite() {
  const pages = new Map();
  const server = await listen((request, response) => {
    const page = pages.get(request.url);
    if (!page) return response.writeHead(request.url === "/favicon.ico" ? 204 : 404).end();
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...page.headers });
    response.end(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title>
<meta name="description" content="A page with a chat"><meta name="viewport" content="width=device-width, initial-scale=1">${page.head ?? ""}</head>
<body><main><h1>A shop</h1><p>Some <a href="/elsewhere">words</a> of the page.</p>${page.main ?? ""}</main>${page.body ?? ""}</body></html>`);
  });
  return {
    ...server,
    put: (page) => {
      const path = `/page-${pages.size}`;
      pages.set(path, page);
      return server.url + path;
    },
  };
}
