import { useEffect, type ReactNode } from "react";

/** The frame of a view: its title, which is the browser's too, what can be done, its content. */
export function Page({ title, about, extra, children, fill = false }: { title: string; about?: ReactNode; extra?: ReactNode; children: ReactNode; fill?: boolean }) {
  useEffect(() => {
    document.title = `${title} · Backfleet`;
  }, [title]);
  return (
    <div className={fill ? "page page-fill" : "page"}>
      <div className="row" style={{ justifyContent: "space-between", marginBottom: 12 }}>
        <div className="row" style={{ gap: 12 }}>
          <h1 style={{ margin: 0, fontSize: 20, fontWeight: 600, lineHeight: 1.4 }}>{title}</h1>
          {about}
        </div>
        {extra ? <div className="row">{extra}</div> : null}
      </div>
      {children}
    </div>
  );
}
