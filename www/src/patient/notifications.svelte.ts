// Whether this browser wakes the node when a message comes while no page is open.

import type { Connection } from "hdms-node";
import { Action } from "../ui/action.svelte";
import { session } from "./session.svelte";

/** As the browser and the person have it; `unsupported`: not offered here. */
export type NotificationState = Awaited<ReturnType<Connection["notifications"]["state"]>>;

const DISMISSED = "hdms-notifications-dismissed";

/** The notifications of this browser, to be made while a component starts. */
export class Notifications {
  /** `null` until it is known. */
  state = $state<NotificationState | null>(null);
  /** Switching them on or off. */
  readonly action = new Action();

  constructor() {
    const look = (): void => void this.#look();
    $effect(() => {
      void session.status?.push;
      look();
    });
    // A person who comes back may have allowed or blocked them in the browser's settings.
    $effect(() => {
      document.addEventListener("visibilitychange", look);
      return () => document.removeEventListener("visibilitychange", look);
    });
  }

  /** Switches them on or off; only to be called on a click, as the browser may ask the person. */
  async switch(to: "on" | "off"): Promise<boolean> {
    const done = await this.action.run(async () => {
      const { notifications } = await session.connection();
      session.status = await (to === "on" ? notifications.enable() : notifications.disable());
    });
    await this.#look();
    return done;
  }

  async #look(): Promise<void> {
    const { notifications } = await session.connection();
    this.state = await notifications.state();
  }
}

/** Whether the person has said not to be invited any more. Kept in the browser, as it tells nothing. */
export function isDismissed(): boolean {
  return localStorage.getItem(DISMISSED) !== null;
}

/** Invites the person no more. */
export function dismiss(): void {
  localStorage.setItem(DISMISSED, "yes");
}
