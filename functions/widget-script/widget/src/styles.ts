// The widget's looks. The page's own style sheets end at the shadow root; what they say of the host itself is overruled
// by `:host` with `!important`, which wins over the page's. The style sheets are constructed, so that the page's content
// security policy needs to allow no styles.

import { palette, type Rgb, writeColor } from "./colors.ts";

/** Sets what the palette says, on the host, where no page can reach it. */
export function variables(colors: ReturnType<typeof palette>): string {
  const lines = Object.entries(colors).map(([name, color]: [string, Rgb]) => `--${name}:${writeColor(color)}!important`);
  return `:host{${lines.join(";")}}`;
}

/** Where style sheets cannot be constructed, they are elements, with the nonce that the page's policy may ask for. */
export function addStyles(shadow: ShadowRoot, nonce: string): (colors: string) => void {
  if ("adoptedStyleSheets" in Document.prototype) {
    const fixed = new CSSStyleSheet();
    fixed.replaceSync(STYLES);
    const own = new CSSStyleSheet();
    shadow.adoptedStyleSheets = [fixed, own];
    return (colors) => {
      own.replaceSync(colors);
    };
  }
  const [fixed, own] = [document.createElement("style"), document.createElement("style")];
  for (const style of [fixed, own]) style.nonce = nonce;
  fixed.textContent = STYLES;
  shadow.append(fixed, own);
  return (colors) => {
    own.textContent = colors;
  };
}

const STYLES = `
:host{all:initial!important;display:block!important;position:fixed!important;inset:0 auto auto 0!important;width:0!important;height:0!important;
z-index:2147483647!important;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif!important;color:var(--text)!important;
color-scheme:light!important;pointer-events:auto!important}
:host(.dark){color-scheme:dark!important}
*,*::before,*::after{box-sizing:border-box}
[hidden]{display:none!important}
.hidden{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
button{font:inherit;color:inherit;background:none;border:0;margin:0;padding:0;cursor:pointer;border-radius:8px}
button:disabled{cursor:default;opacity:.55}
svg{width:22px;height:22px;display:block;fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.bubble{position:fixed;bottom:max(20px,env(safe-area-inset-bottom));right:20px;width:56px;height:56px;border-radius:50%;
background:var(--accent);color:var(--onaccent);display:grid;place-items:center;
box-shadow:0 0 0 1.5px var(--onaccent),0 6px 24px rgb(0 0 0/.28);transition:transform .15s}
.bubble:hover{transform:scale(1.06)}
.bubble:focus-visible{outline:3px solid var(--link);outline-offset:3px}
.bubble svg{width:26px;height:26px}
.bubble.new::after{content:"";position:absolute;top:1px;right:1px;width:14px;height:14px;border-radius:50%;background:#d92d20;border:2px solid #fff}
.left .bubble{right:auto;left:20px}
.panel{position:fixed;right:20px;bottom:calc(max(20px,env(safe-area-inset-bottom)) + 70px);width:400px;height:min(640px,calc(100vh - 110px));
height:min(640px,calc(100dvh - 110px));display:flex;flex-direction:column;overflow:hidden;background:var(--background);color:var(--text);
border:1px solid var(--line);border-radius:16px;box-shadow:0 12px 48px rgb(0 0 0/.22);animation:rise .18s ease-out}
.left .panel{right:auto;left:20px}
.head{display:flex;align-items:center;gap:10px;padding:12px 10px 12px 14px;border-bottom:1px solid var(--line)}
.face{flex:none;width:36px;height:36px;border-radius:50%;display:grid;place-items:center;background:var(--accent);color:var(--onaccent)}
.face svg{width:20px;height:20px}
.name{flex:1;min-width:0}
h2{all:unset;display:block;font-weight:650;font-size:15.5px;line-height:1.3;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.tag{font-size:12.5px;line-height:1.35;color:var(--soft)}
.head button{width:36px;height:36px;display:grid;place-items:center;color:var(--soft)}
.head button:hover{background:var(--raised);color:var(--text)}
.head svg{width:20px;height:20px}
.log{flex:1;min-height:0;overflow-y:auto;overscroll-behavior:contain;padding:16px 14px 8px;scrollbar-width:thin}
.log:focus-visible{outline-offset:-2px}
.turn{display:flex;flex-direction:column;gap:10px;margin-bottom:14px}
.said,.answer,.welcome{max-width:88%;padding:9px 13px;border-radius:14px;overflow-wrap:anywhere}
.said{align-self:flex-end;background:var(--accent);color:var(--onaccent);border-end-end-radius:4px;white-space:pre-wrap}
.answer,.welcome{align-self:flex-start;background:var(--raised);border-end-start-radius:4px}
.answer{min-width:64px}
.welcome{width:fit-content;margin-bottom:14px}
.text>*{margin:0 0 9px}
.text>:last-child{margin-bottom:0}
.answer>*+*{margin-top:8px}
.answer>.hidden+*{margin-top:0}
p{margin:0}
p+p,li>p,blockquote>*+*{margin-top:8px}
h3,h4,h5,h6{font-size:15px;font-weight:700;line-height:1.35;margin:0}
h3{font-size:17px}
.text>*+h3,.text>*+h4{margin-top:14px}
ul,ol{padding-inline-start:22px;margin:0}
li+li,li>ul,li>ol{margin-top:3px}
a{color:var(--link);text-decoration:underline;text-underline-offset:2px}
blockquote{margin:0;padding-inline-start:12px;border-inline-start:3px solid var(--line);color:var(--soft)}
hr{border:0;border-top:1px solid var(--line)}
code{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--code);border-radius:4px;padding:1px 4px}
.code{border:1px solid var(--line);border-radius:10px;overflow:hidden;background:var(--code)}
.bar{display:flex;justify-content:space-between;align-items:center;gap:8px;padding:3px 6px 3px 11px;border-bottom:1px solid var(--line);font-size:12.5px;color:var(--soft)}
.bar button{padding:3px 8px;min-height:24px}
.bar button:hover{color:var(--text);text-decoration:underline}
pre{margin:0;padding:9px 11px;overflow-x:auto;direction:ltr;text-align:left}
pre:focus-visible,.table:focus-visible{outline-offset:-2px}
pre code{background:none;padding:0;white-space:pre;font-size:13px;overflow-wrap:normal}
.table{overflow-x:auto;border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;font-size:14px;min-width:100%}
th,td{padding:6px 10px;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:normal}
th{background:var(--code);font-weight:650}
tr:last-child td{border-bottom:0}
.to-left{text-align:start}.to-center{text-align:center}.to-right{text-align:end}
.tool{display:flex;align-items:center;gap:7px;font-size:13px;color:var(--soft)}
.tool svg{width:15px;height:15px;flex:none}
.tool.running svg{animation:breathe 1.2s infinite}
.tool.failed{color:var(--bad)}
.stopped{font-size:13px;color:var(--soft)}
.dots{display:flex;gap:5px;align-items:center;height:22px}
.dots i{width:7px;height:7px;border-radius:50%;background:var(--soft);animation:breathe 1.2s infinite}
.dots i:nth-child(2){animation-delay:.15s}
.dots i:nth-child(3){animation-delay:.3s}
.trouble{display:flex;flex-wrap:wrap;gap:8px 12px;align-items:center;justify-content:space-between;margin-bottom:14px;padding:10px 13px;
border:1px solid var(--bad);border-radius:12px;font-size:14px;color:var(--text)}
.trouble p{flex:1 1 190px;overflow-wrap:anywhere}
.trouble button{padding:5px 12px;min-height:32px;border:1px solid var(--edge);font-weight:600}
.trouble button:hover:not(:disabled){background:var(--raised)}
form{display:flex;align-items:flex-end;gap:6px;margin:4px 12px 0;padding:5px 5px 5px 12px;border:1px solid var(--edge);border-radius:14px;background:var(--background)}
form:focus-within{outline:2px solid var(--link);outline-offset:0}
textarea{flex:1;min-width:0;font:inherit;color:inherit;background:none;border:0;outline:0;resize:none;padding:6px 0;margin:0;height:35px;max-height:140px}
textarea:focus-visible{outline:0}
textarea::placeholder{color:var(--soft);opacity:1}
form button{flex:none;width:36px;height:36px;border-radius:10px;display:grid;place-items:center;background:var(--accent);color:var(--onaccent)}
form button:disabled{background:var(--code);color:var(--soft);opacity:1}
form svg{width:20px;height:20px}
form .halt svg{fill:currentColor}
.foot{display:flex;justify-content:center;flex-wrap:wrap;gap:0 10px;padding:7px 12px max(8px,env(safe-area-inset-bottom));font-size:12px;color:var(--soft)}
@media (max-width:639.98px){
.panel,.left .panel{inset:0;width:100%;height:100vh;height:100dvh;border:0;border-radius:0}
.is-open .bubble{display:none}
textarea{font-size:16px}
.head button{width:44px;height:44px}
form button{width:40px;height:40px}
}
@media (forced-colors:active){.said,.answer,.welcome,.bubble,form button{border:1px solid}}
@keyframes rise{from{opacity:0;transform:translateY(12px)}}
@keyframes breathe{50%{opacity:.3}}
@media (prefers-reduced-motion:reduce){*,*::before,*::after{animation:none!important;transition:none!important}.bubble:hover{transform:none}}
`;
