// Every code of the contract has words: a new one without them does not pass.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";

import { en, zh } from "../src/ui/text.ts";
import { warningText } from "../src/ui/warning.ts";
import { reasonText } from "../src/views/instance/reason.ts";
import * as instance from "../src/views/instance/text.ts";

const schemas = (parse(readFileSync("../openapi.yaml", "utf8")) as { components: { schemas: Record<string, { enum?: string[] }> } }).components.schemas;
const codes = (name: string): string[] => schemas[name]?.enum ?? [];
const chinese = /[\u4e00-\u9fff]/;
/** What warnings name, but for what makes another sentence of them. */
const names = ["node", "more", "dates", "future", "groups", "date", "upstream", "before", "circle", "failed", "previous", "backfill", "name", "instance", "until", "instances", "at", "complete", "onConflict", "peak", "resourceGroup", "slots", "lack", "mid", "low", "high", "source", "channel", "nodes"];
const named = Object.fromEntries(names.map((name) => [name, `‹${name}›`]));

test.each(codes("ErrorCode"))("problem %s", (code) => {
  expect((en.problem as Record<string, string>)[code]).toMatch(/^[A-Z]/);
  expect((zh.problem as Record<string, string>)[code]).toMatch(chinese);
});

test.each(codes("ObstacleCode"))("obstacle %s", (code) => {
  expect((instance.en.operate.obstacle as Record<string, string>)[code]).toMatch(/[a-z]/);
  expect((instance.zh.operate.obstacle as Record<string, string>)[code]).toMatch(chinese);
});

test.each(codes("ReasonCode"))("reason %s", (code) => {
  const reason = { code, text: "as it was said" } as Parameters<typeof reasonText>[0];
  expect(reasonText(reason, "en")).toBe("as it was said");
  expect(reasonText(reason, "zh")).toMatch(chinese);
});

test.each(codes("WarningCode"))("warning %s", (code) => {
  const warning = { code, message: "as it was said", args: named } as Parameters<typeof warningText>[0];
  expect(warningText(warning, "en")).toBe("as it was said");
  expect(warningText(warning, "zh")).toMatch(chinese);
  expect(warningText(warning, "zh")).toMatch(/‹/);
  expect(warningText(warning, "zh")).not.toContain("undefined");
});

test("what a warning names is said; one without a code, or of a newer coordinator, is told as it came", () => {
  const message = "as it was said";
  expect(warningText({ code: "future", message, args: { future: "2", dates: "4" } }, "zh")).toBe("4 个日期中有 2 个在未来：其实例等待定时时间");
  expect(warningText({ code: "descendingSelf", message, args: { node: "a", more: "2" } }, "zh")).toContain("节点 a（及另外 2 个）依赖自身");
  expect(warningText({ code: "missingUpstream", message, args: { node: "a", dates: "2024-01-01", failed: "true", previous: "false" } }, "zh")).toBe("补数据之外的上游 a（2024-01-01）上次失败，不会等待");
  expect(warningText({ message }, "zh")).toBe(message);
  expect(warningText({ code: "overlap", message }, "zh")).toBe(message);
  expect(warningText({ code: "tomorrow" as "future", message, args: {} }, "zh")).toBe(message);
});
