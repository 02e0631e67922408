// The whole graph as a drawing of lines and words: the layout and states that are seen, sharp at
// every size, and to be searched for names.
import { mapStates, signs } from "../map/picture.ts";
import { box, type GroupBox } from "./layout.ts";
import { shortened, type Face, type Pen, type Scene } from "./paint.ts";

const margin = 40;
const fonts = { name: "600 12.5px system-ui, sans-serif", about: "11.5px system-ui, sans-serif" };

const safe = (text: string) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "").replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
const n = (value: number) => String(Math.round(value * 10) / 10);

/** `pen` measures words; it draws nothing. */
export function svg(scene: Scene, pen: Pen): Blob {
  const { layout, ink } = scene;
  const [width, height] = [layout.width + 2 * margin, layout.height + 2 * margin];
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${n(width)}" height="${n(height)}" viewBox="${-margin} ${-margin} ${n(width)} ${n(height)}">`,
    `<style>text{font:${fonts.about};fill:${ink.muted}}.name{font:${fonts.name};fill:${ink.text}}.sign{font:bold 13px system-ui,sans-serif;text-anchor:middle}.edge{fill:none;stroke:${ink.muted};stroke-opacity:.6}`,
    `.box{fill:${ink.surface};stroke:${ink.line};stroke-width:1.2}.group{fill:${ink.surface};fill-opacity:.55;stroke:${ink.line}}</style>`,
    `<rect x="${-margin}" y="${-margin}" width="100%" height="100%" fill="${ink.ground}"/>`,
    ...layout.boxes.map((b) => group(scene, b)),
    ...edges(scene),
    ...scene.faces.map((face, v) => node(scene, pen, face, v)),
    "</svg>",
  ];
  return new Blob(parts.map((part) => `${part}\n`), { type: "image/svg+xml" });
}

function group({ groups }: Scene, b: GroupBox): string {
  const said = groups[b.group];
  return `<rect class="group" x="${n(b.x)}" y="${n(b.y)}" width="${n(b.width)}" height="${n(b.height)}" rx="10"/>${said ? `<text class="name" x="${n(b.x + 10)}" y="${n(b.y + 18)}">${safe(said.name)} (${said.count})</text>` : ""}`;
}

/** Many lines in each path: an element a line would make the file slow to open. */
function edges({ edges: ends, layout }: Scene): string[] {
  const paths: string[] = [];
  let lines = "";
  for (let i = 0; i < ends.length; i += 2) {
    const [a, b] = [ends[i] ?? 0, ends[i + 1] ?? 0];
    const [x1, y1, x2, y2] = [(layout.x[a] ?? 0) + box.width, (layout.y[a] ?? 0) + box.height / 2, layout.x[b] ?? 0, (layout.y[b] ?? 0) + box.height / 2];
    const bend = Math.max(30, Math.abs(x2 - x1) / 2);
    lines += `M${n(x1)} ${n(y1)}C${n(x1 + bend)} ${n(y1)} ${n(x2 - bend)} ${n(y2)} ${n(x2)} ${n(y2)}m-6-4l6 4-6 4`;
    if (i % 400 === 398 || i + 2 >= ends.length) {
      paths.push(`<path class="edge" d="${lines}"/>`);
      lines = "";
    }
  }
  return paths;
}

function node({ layout, states, ink }: Scene, pen: Pen, face: Face, v: number): string {
  const [x, y] = [layout.x[v] ?? 0, layout.y[v] ?? 0];
  const state = mapStates[states[v] ?? 255];
  const about = [face.type, face.owner, face.name === face.id ? "" : face.name].filter(Boolean).join(" · ");
  const fitted = (font: string, text: string, room: number) => {
    pen.font = font;
    return safe(shortened(pen, text, room));
  };
  const sign = state ? `<text class="sign" x="11" y="${box.height / 2 + 5}" style="fill:${state === "waiting" || state === "dryRun" ? ink.text : ink.surface}">${safe(signs[state])}</text>` : "";
  return (
    `<g transform="translate(${n(x)} ${n(y)})"${state ? ` data-state="${state}"` : ""}><title>${safe(`${face.id} · ${about}${state ? ` · ${state}` : ""}`)}</title>` +
    `<rect class="box" width="${box.width}" height="${box.height}" rx="6"/><path d="M6 0H22V${box.height}H6a6 6 0 0 1-6-6V6a6 6 0 0 1 6-6z" fill="${state ? ink[state] : ink.muted}"/>${sign}` +
    `<text class="name" x="30" y="19">${fitted(fonts.name, face.id, box.width - 48)}</text><text x="30" y="37">${fitted(fonts.about, about, box.width - 38)}</text></g>`
  );
}
