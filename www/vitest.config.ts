import { defineConfig } from "vitest/config";

// The tests bring their own pages: what they test is built as it is shipped.
export default defineConfig({ test: { include: ["tests/*.test.ts"], testTimeout: 90_000 } });
