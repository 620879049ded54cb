// The document's check of a webhook's signature, word for word, in a receiver whose `req.body` is the body as it came, as
// express.raw() gives it. Each request is told on a line of its own.
import crypto from 'node:crypto';
import http from 'node:http';

const webhookSecret = process.env.ORRERY_WEBHOOK_SECRET;

function check(req) {
const signature = req.headers['x-kore-signature'];
const expected = crypto
  .createHmac('sha256', webhookSecret)
  .update(req.body)
  .digest('hex');

if (signature !== expected) {
  throw new Error('Invalid signature');
}
}

const server = http.createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const req = { headers: request.headers, body: Buffer.concat(pieces) };
  try {
    check(req);
    console.log(`accepted ${JSON.parse(req.body).event}`);
    response.writeHead(204).end();
  } catch (error) {
    console.log(`refused ${error.message}`);
    response.writeHead(400).end();
  }
});
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
