// A long list as a real table, for eyes, keyboards and screen readers alike: only the rows in
// sight are there, the next page is loaded as its end comes near.
import { CaretDownOutlined, CaretUpOutlined } from "@ant-design/icons";
import { useVirtualizer } from "@tanstack/react-virtual";
import { Button, Checkbox } from "antd";
import { useEffect, useRef, type CSSProperties, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import "./table.css";

export interface Column<T> {
  key: string;
  title: ReactNode;
  /** Pixels; the columns share what is left in proportion to them. */
  width: number;
  /** The word by which the list is asked for in its order. */
  sort?: string;
  /** Stays in sight at the end while the others scroll. */
  stays?: boolean;
  render: (item: T) => ReactNode;
}

export interface Selection<T> {
  has: (item: T) => boolean;
  set: (items: T[], chosen: boolean) => void;
  label: (item: T) => string;
  /** What the box at the head says: all that are loaded. */
  all: string;
}

export interface VirtualTableProps<T> {
  label: string;
  columns: Column<T>[];
  items: T[];
  rowKey: (item: T) => string;
  /** Absent: there is no more. */
  more?: { load: () => void; loading: boolean };
  /** The order now, such as `name` or `-name`. */
  sort?: string;
  onSort?: (sort: string) => void;
  selection?: Selection<T>;
  style?: CSSProperties;
}

const height = 38;

export function VirtualTable<T>({ label, columns, items, rowKey, more, sort, onSort, selection, style }: VirtualTableProps<T>) {
  const frame = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: items.length, getScrollElement: () => frame.current, estimateSize: () => height, overscan: 12, getItemKey: (i) => { const item = items[i]; return item === undefined ? i : rowKey(item); } });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  const near = more && !more.loading && last >= items.length - 20 && items.length > 0;
  const load = more?.load;
  useEffect(() => {
    if (near) load?.();
  }, [near, load]);
  const width = columns.reduce((sum, c) => sum + c.width, selection ? 40 : 0);
  const before = shown[0]?.start ?? 0;
  const after = rows.getTotalSize() - (shown.at(-1)?.end ?? 0);
  return (
    <div ref={frame} className="grid-frame" style={style} tabIndex={0} role="region" aria-label={label}>
      <table className="grid" aria-rowcount={more ? -1 : items.length + 1} style={{ minWidth: width }}>
        <colgroup>
          {selection ? <col style={{ width: 40 }} /> : null}
          {columns.map((c) => <col key={c.key} style={{ width: `${(c.width / width) * 100}%` }} />)}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {selection ? <th scope="col"><All items={items} selection={selection} /></th> : null}
            {columns.map((c) => <Head key={c.key} column={c} sort={sort} onSort={onSort} />)}
          </tr>
        </thead>
        <tbody>
          {before > 0 ? <tr className="pad" aria-hidden><td style={{ height: before }} /></tr> : null}
          {shown.map(({ index, key }) => {
            const item = items[index];
            return item === undefined ? null : <Row key={key} item={item} index={index} items={items} columns={columns} selection={selection} />;
          })}
          {after > 0 ? <tr className="pad" aria-hidden><td style={{ height: after }} /></tr> : null}
        </tbody>
      </table>
      {more ? <More {...more} /> : null}
    </div>
  );
}

function More({ load, loading }: { load: () => void; loading: boolean }) {
  const { t } = useTranslation("ui");
  return <div className="grid-end"><Button size="small" type="text" onClick={load} loading={loading}>{t("more")}</Button></div>;
}

function Head<T>({ column, sort, onSort }: { column: Column<T>; sort?: string; onSort?: (sort: string) => void }) {
  const word = column.sort;
  if (!word || !onSort) return <th scope="col" data-stays={column.stays}>{column.title}</th>;
  const way = sort === word ? "ascending" : sort === `-${word}` ? "descending" : undefined;
  return (
    <th scope="col" aria-sort={way}>
      <button type="button" onClick={() => onSort(way === "ascending" ? `-${word}` : word)}>
        {column.title} <span aria-hidden style={{ opacity: way ? 1 : 0.35 }}>{way === "descending" ? <CaretDownOutlined /> : <CaretUpOutlined />}</span>
      </button>
    </th>
  );
}

function All<T>({ items, selection }: { items: T[]; selection: Selection<T> }) {
  const chosen = items.filter(selection.has).length;
  return <Checkbox aria-label={selection.all} checked={chosen > 0 && chosen === items.length} indeterminate={chosen > 0 && chosen < items.length} onChange={(e) => selection.set(items, e.target.checked)} />;
}

/** The row that was ticked last: with Shift, all between are. */
let anchor = 0;

function Row<T>({ item, index, items, columns, selection }: { item: T; index: number; items: T[]; columns: Column<T>[]; selection?: Selection<T> }) {
  const chosen = selection?.has(item) ?? false;
  const tick = (on: boolean, range: boolean) => {
    selection?.set(range ? items.slice(Math.min(anchor, index), Math.max(anchor, index) + 1) : [item], on);
    anchor = index;
  };
  return (
    <tr data-row aria-rowindex={index + 2} data-chosen={chosen || undefined} style={{ height }}>
      {selection ? <td><Checkbox aria-label={selection.label(item)} checked={chosen} onChange={(e) => tick(e.target.checked, "shiftKey" in e.nativeEvent && e.nativeEvent.shiftKey === true)} /></td> : null}
      {columns.map((c) => <td key={c.key} data-stays={c.stays}>{c.render(item)}</td>)}
    </tr>
  );
}
