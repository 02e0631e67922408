// Parts of filter bars. Each has its label inside, and the same for screen readers.
import { SearchOutlined } from "@ant-design/icons";
import { Input, Select } from "antd";
import { useEffect, useState } from "react";

/** Text that is looked for as it is typed, a moment after the last key. */
export function FilterText({ label, value, change, width = 220 }: { label: string; value: string; change: (value: string) => void; width?: number }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => change(typed.trim()), 250);
    return () => clearTimeout(timer);
  }, [typed, value, change]);
  return <Input allowClear prefix={<SearchOutlined aria-hidden />} placeholder={label} aria-label={label} value={typed} onChange={(e) => setTyped(e.target.value)} style={{ width }} />;
}

/** Several words; with `free`, also those that are not among the options. */
export function FilterWords<T extends string>({ label, value, change, options, free = false, width = 170 }: {
  label: string; value: T[]; change: (value: T[]) => void; options: readonly { value: T; label: string }[]; free?: boolean; width?: number;
}) {
  return (
    <Select<T[]>
      mode={free ? "tags" : "multiple"} allowClear maxTagCount="responsive" placeholder={label} aria-label={label} value={value} onChange={change} style={{ width }}
      options={[...options]} tokenSeparators={free ? [",", " ", "\n"] : undefined} optionFilterProp="label" popupMatchSelectWidth={false}
    />
  );
}

/** One word of several, or none. */
export function FilterWord<T extends string>({ label, value, change, options, width = 150 }: { label: string; value: T | ""; change: (value: T | "") => void; options: readonly { value: T; label: string }[]; width?: number }) {
  return <Select<T | ""> allowClear placeholder={label} aria-label={label} value={value || undefined} onChange={(v?: T | "") => change(v ?? "")} style={{ width }} options={[...options]} popupMatchSelectWidth={false} />;
}
