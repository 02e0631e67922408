import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import sql from "highlight.js/lib/languages/sql";
import yaml from "highlight.js/lib/languages/yaml";
import { useMemo } from "react";

import "./code.css";

const languages = { bash, json, python, sql, yaml };
export type CodeLanguage = keyof typeof languages;
for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

/** The language of a node's code, by its type. */
export function languageOf(type: string | undefined): CodeLanguage | undefined {
  switch (type ?? "shell") {
    case "shell": return "bash";
    case "python": return "python";
    case "sql": case "check": case "logical": return "sql";
    default: return undefined;
  }
}

/** Code to read. */
export function Code({ text, language, label }: { text: string; language?: CodeLanguage; label: string }) {
  // The library escapes what it is given: its answer is the only markup.
  const html = useMemo(() => (language ? hljs.highlight(text, { language }).value : undefined), [text, language]);
  return (
    <pre className="code mono" tabIndex={0} aria-label={label}>
      {html === undefined ? <code>{text}</code> : <code dangerouslySetInnerHTML={{ __html: html }} />}
    </pre>
  );
}
