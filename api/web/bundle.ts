// What is done with the page once it is built: it is compressed, and weighed.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

import type { Plugin, Rolldown } from "vite";

/** Bytes that may cross the wire. A build that is heavier fails: what made it so is to be found, or the number is to be changed with a reason. */
const budget = { first: 275_000, all: 600_000 };
/** Of what the first view, the list of nodes, stands: its script, what that loads at once, the view. */
const first = /\/(index\.html|main\.tsx|app\/start\.tsx|views\/nodes\/NodeList\.tsx)$/;
/** Drawings, which come on top of all the rest. */
const drawings = /\/(Graph|HeatMap|Durations)\.tsx$/;

/** Compressed once, as well as it goes, rather than by each coordinator for each browser. */
export function compressed(): Plugin {
  let dist = "";
  let chunks: Rolldown.OutputChunk[] = [];
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => void (dist = resolve(config.root, config.build.outDir)),
    generateBundle(_, bundle) {
      chunks = Object.values(bundle).filter((part): part is Rolldown.OutputChunk => part.type === "chunk");
    },
    closeBundle() {
      const assets = join(dist, "assets");
      const sizes = new Map<string, number>();
      for (const name of readdirSync(assets)) {
        const plain = readFileSync(join(assets, name));
        const packed = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } });
        writeFileSync(join(assets, `${name}.br`), packed);
        sizes.set(`assets/${name}`, packed.length);
      }
      weigh(chunks, sizes);
    },
  };
}

function weigh(chunks: Rolldown.OutputChunk[], sizes: Map<string, number>): void {
  const named = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  const needed = new Set<string>();
  const need = (name: string) => {
    if (needed.has(name)) return;
    needed.add(name);
    named.get(name)?.imports.forEach(need);
  };
  for (const { facadeModuleId, fileName } of chunks) if (facadeModuleId && first.test(facadeModuleId)) need(fileName);
  const sum = (names: Iterable<string>) => [...names].reduce((bytes, name) => bytes + (sizes.get(name) ?? 0), 0);
  const weights = { first: sum(needed), all: sum(chunks.filter(({ facadeModuleId }) => !drawings.test(facadeModuleId ?? "")).map(({ fileName }) => fileName)) };
  console.log(`compressed: the first view ${weights.first} of ${budget.first} bytes, all without drawings ${weights.all} of ${budget.all}`);
  if (needed.size < 4) throw new Error("the first view is not where it was: tell bundle.ts what it consists of");
  if (weights.first > budget.first || weights.all > budget.all) throw new Error("the page has grown beyond its budget, see bundle.ts");
}
