/** Edits that wait to be saved: sent one after the other, each until the server has answered. */

import { Refusal } from "./api.js";

const PAUSE = 1000; // ms between attempts

export class Queue {
  /**
   * @param {(edit: object) => Promise<object>} send resolves once the edit is on the disk
   * @param {(answer: object, edit: object) => void} answered
   * @param {(error: Refusal, edit: object) => Promise<void>} refused
   * @param {() => void} changed
   */
  constructor(send, answered, refused, changed) {
    Object.assign(this, { send, answered, refused, changed });
    this.items = [];
    /** Why the first edit has not gone through yet; null where nothing is wrong. */
    this.trouble = null;
    this.waiters = [];
  }

  get edits() {
    return this.items.map((item) => item.edit);
  }

  get length() {
    return this.items.length;
  }

  /** Adds an edit. Resolves to whether the server took it. */
  push(edit) {
    return new Promise((settle) => {
      this.items.push({ edit, settle });
      this.changed();
      if (!this.running) this.run();
    });
  }

  /** Resolves when nothing waits. */
  idle() {
    if (!this.running) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Drops what waits behind the edit that is being answered; returns it. */
  clear() {
    const dropped = this.items.splice(0);
    for (const { settle } of dropped) settle(false);
    return dropped.map(({ edit }) => edit);
  }

  async run() {
    this.running = true;
    try {
      while (this.items.length) await this.deliverFirst();
    } catch (error) {
      // A fault of the page: nothing more is sent, and what waits stays visible as not saved
      this.trouble = `the page has failed (${error.message}); reload it`;
      this.changed();
      throw error;
    }
    this.running = false;
    for (const resolve of this.waiters.splice(0)) resolve();
    this.changed();
  }

  async deliverFirst() {
    const { edit, settle } = this.items[0];
    try {
      const answer = await this.persist(() => this.send(edit));
      this.items.shift();
      this.answered(answer, edit);
      settle(true);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.items.shift();
      const dealt = this.refused(error, edit);
      this.changed(); // what was refused is no longer shown, whatever comes next
      await dealt;
      settle(false);
    }
    this.changed();
  }

  /** Repeats a request until the server has answered it, one way or the other. */
  async persist(ask) {
    for (;;) {
      try {
        const answer = await ask();
        this.trouble = null;
        return answer;
      } catch (error) {
        if (!(error instanceof Refusal) || !error.isTemporary) {
          this.trouble = null;
          throw error;
        }
        this.trouble = error.message;
        this.changed();
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}
