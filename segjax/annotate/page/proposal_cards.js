/** What a model proposes, in the panel: to accept, to dismiss, or to disregard. */

import { byId, make, setText } from "./dom.js";
import { POINT_LABELS } from "./reading.js";

export class ProposalCards {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    this.section = byId("proposals");
    this.list = byId("proposal-list");
    this.shown = null;
    bench.onChange(() => this.render());
  }

  render() {
    const { bench } = this;
    const { proposals } = bench;
    this.section.hidden = !proposals.offered || !bench.image;
    const lines = [
      ...(proposals.problem ? [{ text: proposals.problem }] : []),
      ...(proposals.asking ? [{ text: "The model is at work…" }] : []),
      ...this.pointCard(),
      ...proposals.found.findings.map((each) => this.findingCard(each)),
    ];
    // Made again only where they differ, so that a focused button stays
    const shown = JSON.stringify([bench.image?.id, lines]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.list.replaceChildren(...lines.map(cardOf));
    setText(byId("proposals-none"), lines.length ? "" : "Nothing is proposed.");
  }

  pointCard() {
    const { proposals } = this.bench;
    const names = Object.keys(proposals.points).map((name) => POINT_LABELS[name]);
    if (!names.length) return [];
    const what = names.length > 1 ? "points" : names[0];
    const accept = () => proposals.acceptPoints();
    return [{
      text: `Model: ${names.join(" and ")} predicted; drawn dashed. Or click to place.`,
      buttons: [{ text: `Accept predicted ${what}`, key: "y", run: accept }],
    }];
  }

  findingCard(each) {
    const { proposals, labels } = this.bench;
    const label = labels[each.finding];
    const [probability, threshold] = apart(each.probability, each.threshold);
    if (!proposals.isPresent(each)) {
      const why = `probability ${probability}, present from ${threshold} on`;
      return { text: `${label}: not present (${why})`, quiet: true };
    }
    if (proposals.isDecided(each)) {
      const how = proposals.isAccepted(each) ? "accepted" : "dismissed";
      return { text: `${label}: ${how} (probability ${probability})`, quiet: true };
    }
    const regions = each.regions?.map((name) => labels[name]).join(", ") || "none";
    const where = each.regions ? `regions: ${regions}` : "regions follow from disc and fovea";
    const sure = `probability ${probability}, present from ${threshold} on`;
    const text = `Model: ${label} present (${sure}), ${where}`;
    const isNext = proposals.open[0] === each && !Object.keys(proposals.points).length;
    return {
      text,
      buttons: [
        {
          text: "Accept",
          key: isNext ? "y" : "",
          disabled: !proposals.isAcceptable(each),
          run: () => proposals.acceptFinding(each),
        },
        { text: "Dismiss", run: () => proposals.dismiss(each) },
      ],
    };
  }
}

/** Two numbers with as many digits as tell them apart. */
function apart(a, b) {
  let digits = 2;
  while (digits < 12 && a !== b && a.toFixed(digits) === b.toFixed(digits)) digits += 1;
  return [a.toFixed(digits), b.toFixed(digits)];
}

function cardOf({ text, quiet = false, buttons = [] }) {
  const card = make("li", { class: quiet ? "card quiet" : "card" }, make("p", {}, text));
  if (buttons.length) card.append(make("div", { class: "row" }, ...buttons.map(buttonOf)));
  return card;
}

function buttonOf({ text, key, disabled = false, run }) {
  const button = make("button", { type: "button", disabled, onclick: run }, text);
  if (key) button.append(" ", make("kbd", {}, key));
  return button;
}
