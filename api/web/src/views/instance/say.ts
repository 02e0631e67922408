/** Bytes as people say them. */
export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  const power = Math.min(4, Math.floor(Math.log2(n) / 10));
  const value = n / 1024 ** power;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${"KMGT"[power - 1] ?? ""}iB`;
}
