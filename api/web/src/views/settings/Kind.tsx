// What the tabs of settings have in common: a list, a form for one, a way to remove one.
import { DeleteOutlined, EditOutlined, PlusOutlined } from "@ant-design/icons";
import { Space } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { flag, text, useUrl } from "../../app/url.ts";
import { Act } from "../../ui/Act.tsx";
import { Teach } from "../../ui/Failure.tsx";
import { FilterText } from "../../ui/filters.tsx";
import { Listing } from "../../ui/Listing.tsx";
import { usePages, type PageOf } from "../../ui/pages.ts";
import { SettingDrawer, type Tagged, type Write } from "../../ui/Setting.tsx";
import { Steer } from "../../ui/Steer.tsx";
import type { Column } from "../../ui/VirtualTable.tsx";

type Word = "workspaces" | "regions" | "sources" | "channels" | "users";

interface Props<T, F extends { name?: string }> {
  word: Word;
  load: (query: { contains?: string; cursor?: string }) => Promise<PageOf<T>>;
  id: (item: T) => string;
  columns: Column<T>[];
  actions?: (item: T) => ReactNode;
  put: string;
  read: (id: string) => Promise<Tagged<F>>;
  fresh: F;
  write: (id: string, values: F, how: Write) => Promise<unknown>;
  labels: Partial<Record<keyof F & string, string>>;
  form: (values: Partial<F>) => ReactNode;
  nameField: ReactNode;
  remove?: { may: string; what: string; run: (id: string, why: string | undefined, header: { "Idempotency-Key": string }) => Promise<unknown> };
}

const fields = { q: text(), edit: text(), new: flag() };

export function Kind<T, F extends { name?: string }>({ word, load, id, columns, actions, put, read, fresh, write, labels, form, nameField, remove }: Props<T, F>) {
  const { t } = useTranslation("settings");
  const [at, go] = useUrl(fields);
  const [leaving, setLeaving] = useState("");
  const pages = usePages([word, at.q], (cursor) => load({ contains: at.q || undefined, cursor }));
  const close = () => go({ edit: "", new: false });
  const acts: Column<T> = {
    key: "acts", title: "", width: remove ? 200 : 70,
    render: (item) => (
      <span className="row" style={{ flexWrap: "nowrap", justifyContent: "flex-end", gap: 4 }}>
        {actions?.(item)}
        <Act may={put} type="text" icon={<EditOutlined />} aria-label={t("edit", { name: id(item) })} onClick={() => go({ edit: id(item) }, true)} />
        {remove ? <Act may={remove.may} type="text" icon={<DeleteOutlined />} aria-label={t("removeOf", { name: id(item) })} onClick={() => setLeaving(id(item))} /> : null}
      </span>
    ),
  };
  return (
    <Space orientation="vertical" style={{ width: "100%" }}>
      <div className="row" style={{ justifyContent: "space-between" }}>
        <FilterText label={t("search")} value={at.q} change={(q) => go({ q })} />
        <Act may={put} icon={<PlusOutlined />} onClick={() => go({ new: true }, true)}>{t(`what.${word}`)}</Act>
      </div>
      <Listing label={t(`tab.${word}`)} pages={pages} rowKey={id} columns={[...columns, acts]} empty={<Teach title={t(`tab.${word}`)}>{t(`teach.${word}`)}</Teach>} />
      {at.new || at.edit ? (
        <SettingDrawer<F>
          key={at.edit} title={at.edit ? t("edit", { name: at.edit }) : t(`what.${word}`)} close={close} about={[word, at.edit]} fresh={fresh} labels={labels}
          read={at.edit ? () => read(at.edit) : undefined} write={(values, how) => write(at.edit || (values.name ?? "").trim(), values, how)}
        >
          {(values) => <>{at.edit ? null : nameField}{form(values)}</>}
        </SettingDrawer>
      ) : null}
      {remove && leaving ? <Steer title={t("remove")} what={<><strong>{leaving}</strong><br />{remove.what}</>} danger run={(why, header) => remove.run(leaving, why, header)} said={() => t("removed")} close={() => setLeaving("")} /> : null}
    </Space>
  );
}
