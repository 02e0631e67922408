import { stringify } from "yaml";

/** A value of the API as YAML that people read; undefined fields are left out. */
export const yaml = (value: object): string => stringify(value, { lineWidth: 0 });
