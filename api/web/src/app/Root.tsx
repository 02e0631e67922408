// Everything around the views: look, language, data, addresses.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { ConfigProvider, theme } from "antd";
import enUS from "antd/locale/en_US";
import zhCN from "antd/locale/zh_CN";
import dayjs from "dayjs";
import { Suspense, useEffect } from "react";

import { ApiError } from "../api/client.ts";
import { later } from "./later.ts";
import { language, useDark, useStored } from "./preferences.ts";
import { router } from "./router.tsx";

const Says = later(() => import("../ui/Says.tsx"));

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // The client itself repeats what coordinators cannot take now. What is left is an answer.
      retry: (count, error) => !(error instanceof ApiError) && count < 3,
      staleTime: 1000,
      // Events make things stale; this is for what they were lost of.
      refetchInterval: 30_000,
      // What was shown stays until there is newer: no flicker, no lost scroll.
      placeholderData: (before: unknown) => before,
    },
  },
});

export function Root() {
  const [lang] = useStored(language);
  const dark = useDark();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  useEffect(() => {
    document.documentElement.dataset["look"] = dark ? "dark" : "light";
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
  }, [dark]);
  dayjs.locale(lang === "zh" ? "zh-cn" : "en");
  return (
    <ConfigProvider
      locale={lang === "zh" ? zhCN : enUS}
      button={{ autoInsertSpace: false }}
      theme={{
        algorithm: dark ? [theme.darkAlgorithm, theme.compactAlgorithm] : [theme.compactAlgorithm],
        token: {
          motion: !still,
          colorPrimary: dark ? "#5b93f0" : "#1f5fbf", colorLink: dark ? "#6ea2f5" : "#1f5fbf", colorError: dark ? "#f2665b" : "#d92d20", borderRadius: 6, fontSize: 14, fontFamily: "inherit",
          colorBgLayout: dark ? "#0f1319" : "#f4f6f9", colorBgContainer: dark ? "#171c24" : "#ffffff",
          colorTextDescription: dark ? "#9aa5b5" : "#5b6675", colorTextTertiary: dark ? "#9aa5b5" : "#5b6675", colorTextPlaceholder: dark ? "#8b96a8" : "#6b7688",
        },
      }}
    >
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
      <Suspense fallback={null}><Says /></Suspense>
    </ConfigProvider>
  );
}
