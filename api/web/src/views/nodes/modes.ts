import { useNavigate } from "@tanstack/react-router";
import { useCallback } from "react";

/** Opens the wizard with what the address is to say; without anything it takes the basket. */
export function useWizard(): (search: Record<string, string>) => void {
  const navigate = useNavigate();
  return useCallback((search) => void navigate({ to: "/backfills/new", search: search as never }), [navigate]);
}
