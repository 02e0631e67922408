import { useTranslation } from "react-i18next";

import type { Cell } from "./draw.ts";
import type { Picture } from "./picture.ts";

/** What a cell is, in words, as exactly as it is known. */
export function useDescription(pictures: Picture[], cell: Cell | undefined): string {
  const { t } = useTranslation("map");
  const picture = cell ? pictures.findLast((p) => p.has(cell.node, cell.date)) : undefined;
  if (!cell || !picture) return "";
  const row = picture.rowOf(cell.node);
  const column = picture.columnOf(cell.date);
  const { rowNodes, columnDates, nodeCount, rows } = picture.map;
  const state = picture.state(row, column);
  const words = { node: rowNodes[row] ?? "", date: columnDates[column] ?? "", state: state ? t(`state.${state}`) : t("nothing") };
  return picture.exact ? t("cell", words) : t("bin", { ...words, count: Math.floor(((row + 1) * nodeCount) / rows) - Math.floor((row * nodeCount) / rows) });
}
