// A hospital's REST interface in memory, for the tests of the console.

import type { Page, Route } from "playwright-core";
import { SUMMARY } from "./fhir";
import type { Answered, Case, Checked, KeyWarning, Quarantined, Trouble, Undelivered, Waiting } from "../src/console/api";

/** The only key that it accepts. */
export const API_KEY = "a-key-of-the-his-0123456789";
const LOGGED = {
  ...{ notary: "n2", notaryName: "Notary Two", index: 7, time: 1_795_000_000_000 },
  witnesses: ["Notary One"],
};

/** Answers what the console asks at `api/`. */
export class FakeInstitution {
  readonly cases = new Map<string, Case>();
  readonly shared = new Map<string, Answered[]>();
  readonly handedIn: string[] = [];
  readonly #keys = new Set<string>();
  quarantined: Quarantined[] = [];
  outbox: Waiting[] = [];
  undelivered: Undelivered[] = [];
  trouble: Trouble | null = null;
  warnings: KeyWarning[] = [];
  /** What the notaries say. */
  checked: Checked[] = [];
  /** Whether the key is accepted no longer. */
  revoked = false;

  async serve(page: Page): Promise<void> {
    await page.route("**/samples/*", (route) =>
      route.request().url().endsWith("/index.json")
        ? json(route, [{ file: "summary.json", title: "Summary of your stay" }])
        : route.fulfill({ contentType: "application/json", body: SUMMARY }),
    );
    await page.route("**/api/**", (route) => this.#answer(route));
  }

  /** The next result is taken in, but its answer gets lost on the way. */
  async loseNextAnswer(page: Page): Promise<void> {
    const lose = async (route: Route): Promise<void> => {
      const id = new URL(route.request().url()).pathname.split("/")[3] ?? "";
      const one = this.cases.get(id);
      if (one) this.#keep(route, one);
      await route.abort("connectionreset");
    };
    await page.route("**/api/cases/*/results", lose, { times: 1 });
  }

  /** A request for treatment comes in. */
  request(id: string, reason: string, patientName = "Maria Fabregas"): Case {
    const now = Date.now();
    const made: Case = {
      summary: {
        ...{ id, patient: "c1Xn3vB7Qm2t5kLr8sPz", patientName, reason, date: "2027-01-15" },
        ...{ mayRead: ["Condition", "AllergyIntolerance"], phase: { kind: "requested" } },
        ...{ notary: null, notaryName: null, notaryUntil: null, begun: now, changed: now },
        ...{ openDataRequests: 0, results: 0, openResults: 0 },
      },
      dataRequests: [],
      results: [],
      missing: [],
      ledger: [
        {
          ...{ id: "e1", kind: "request", verificationKey: "qL8R4QIcQ_ZsRqOAbeRfcZhilN_Mks" },
          ...{ number: null, author: "p1", endorsedByPatient: true, endorsedByHospital: false },
          receipt: null,
          receiptProblem: null,
        },
      ],
    };
    this.cases.set(id, made);
    return made;
  }

  async #answer(route: Route): Promise<void> {
    const request = route.request();
    const url = new URL(request.url());
    const [, , what, id = "", deed] = url.pathname.split("/");
    if (this.revoked || request.headers()["authorization"] !== `Bearer ${API_KEY}`) {
      return problem(route, 401, "api/wrong-key", "This API key is not the node's. Use the node's.");
    }
    if (what === "node") return json(route, { ...NODE, trouble: this.trouble });
    if (what === "warnings" && deed === "dismissal") {
      this.warnings = this.warnings.filter(({ node }) => node !== id);
      return route.fulfill({ status: 204 });
    }
    if (what === "warnings") return json(route, { warnings: this.warnings });
    if (what === "outbox") return json(route, { outbox: this.outbox });
    if (what === "undelivered") return json(route, { undelivered: this.undelivered });
    if (what === "quarantine") return json(route, { quarantined: this.quarantined });
    if (!id) return json(route, this.#page(url.searchParams));
    const found = this.cases.get(id);
    if (!found) return problem(route, 404, "treatment/unknown-case", "There is no such case.");
    if (request.method() === "GET") {
      return json(route, deed ? { shared: this.shared.get(id) ?? [], next: null } : found);
    }
    return this.#command(route, found, deed ?? "", request.postData() ?? "");
  }

  /** One case to a page, so that turning pages is tested too. */
  #page(query: URLSearchParams): { cases: Case["summary"][]; next: string | null } {
    const summaries = [...this.cases.values()].map((one) => one.summary);
    const wanted = summaries.filter(
      ({ phase }) => !query.has("phase") || phase.kind === query.get("phase"),
    );
    const start = wanted.findIndex(({ id }) => id === query.get("after")) + 1;
    const next = wanted.length > start + 1 ? (wanted[start]?.id ?? null) : null;
    return { cases: wanted.slice(start, start + 1), next };
  }

  async #command(route: Route, one: Case, deed: string, body: string): Promise<void> {
    if (deed === "results") return this.#take(route, one, body);
    if (deed === "verification") return json(route, { records: this.checked });
    const given = JSON.parse(body || "{}") as { reason: string; resources: string[]; purpose: string };
    if (deed === "approval") {
      one.summary.phase = { kind: "approved" };
      one.ledger = one.ledger.map((entry) => ({ ...entry, endorsedByHospital: true, receipt: LOGGED }));
    } else if (deed === "refusal") {
      one.summary.phase = { kind: "declined", reason: given.reason };
    } else {
      const { resources, purpose } = given;
      const answer = { kind: "asked" } as const;
      one.dataRequests.push({ id: "d1", resources, purpose, sent: Date.now(), answer });
    }
    return route.fulfill({ status: 204 });
  }

  #take(route: Route, one: Case, body: string): Promise<void> {
    if (!body.includes("resourceType")) {
      const text = "This is no FHIR resource. Give one with a resourceType.";
      const details = { coding: [{ system: "urn:hdms:error", code: "fhir/no-resource" }], text };
      const outcome = { resourceType: "OperationOutcome", issue: [{ severity: "error", details }] };
      return route.fulfill({ status: 422, contentType: "application/fhir+json", json: outcome });
    }
    this.#keep(route, one);
    return json(route, { handIn: "h1", results: ["e2"] });
  }

  #keep(route: Route, one: Case): void {
    const key = route.request().headers()["idempotency-key"] ?? "";
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    this.handedIn.push(route.request().postData() ?? "");
    const status = { kind: "sent" } as const;
    one.results.push({ entry: "e2", handIn: "h1", title: "Hemoglobin", handedIn: Date.now(), neverFinal: null, status });
  }
}

const NODE = {
  ...{ id: "h1-node-id", name: "Demo Hospital", endpoint: "http://localhost:8081" },
  ...{ network: "HDMS demo", waiting: 0, undelivered: 0, quarantined: 0 },
};

function json(route: Route, body: unknown): Promise<void> {
  return route.fulfill({ json: body });
}

function problem(route: Route, status: number, code: string, detail: string): Promise<void> {
  const contentType = "application/problem+json";
  return route.fulfill({ status, contentType, body: JSON.stringify({ code, detail, status }) });
}
