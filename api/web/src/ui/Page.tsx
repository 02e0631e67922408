import { Typography } from "antd";
import { useEffect, type ReactNode } from "react";

/** The frame of a view: its title, which is the browser's too, what can be done, its content. */
export function Page({ title, about, extra, children, fill = false }: { title: string; about?: ReactNode; extra?: ReactNode; children: ReactNode; fill?: boolean }) {
  useEffect(() => {
    document.title = `${title} · Backfleet`;
  }, [title]);
  return (
    <div style={{ padding: "16px 24px", ...(fill ? { height: "100%", display: "flex", flexDirection: "column", minHeight: 0 } : {}), boxSizing: "border-box" }}>
      <div className="row" style={{ justifyContent: "space-between", marginBottom: 12 }}>
        <div className="row" style={{ gap: 12 }}>
          <Typography.Title level={1} style={{ margin: 0, fontSize: 20 }}>{title}</Typography.Title>
          {about}
        </div>
        {extra ? <div className="row">{extra}</div> : null}
      </div>
      {children}
    </div>
  );
}
