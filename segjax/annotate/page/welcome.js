/** The form at the beginning: who annotates. */

import { request } from "./api.js";
import { byId, setText } from "./dom.js";
import { keepAnnotator, lastName } from "./settings.js";

const ask = (body) => request("api/annotators", { body });

/** The annotator that this tab had before a reload; null where the file knows no such name. */
export async function known(name) {
  const found = await ask({ name, check: true });
  return found.known ? found : null;
}

/**
 * Asks for a name until one is given, and asks again where the file has it already.
 * @returns {Promise<{id: number, name: string}>}
 */
export function welcome(session) {
  const { folder, images, version } = session;
  setText(byId("folder"), `${images} photograph${images === 1 ? "" : "s"} in “${folder}”`);
  setText(byId("version"), `segjax ${version}`);
  const [form, name, again] = ["name-form", "name", "name-again"].map(byId);
  name.value ||= lastName();
  showForm();
  byId("welcome").hidden = false;
  name.focus();
  name.select();
  return new Promise((resolve) => {
    const end = (found) => {
      keepAnnotator(found.name);
      byId("welcome").hidden = true;
      resolve(found);
    };
    const attempt = async (work) => {
      setText(byId("name-problem"), "");
      try {
        await work();
      } catch (error) {
        setText(byId("name-problem"), error.message);
      }
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      attempt(async () => {
        const found = await ask({ name: name.value, check: true });
        if (!found.known) end(await ask({ name: name.value }));
        else showAgain(found, () => end(found));
      });
    };
  });

  function showForm() {
    form.hidden = false;
    again.hidden = true;
  }

  function showAgain(found, proceed) {
    form.hidden = true;
    again.hidden = false;
    const text = `${found.name} has finished ${found.done} of ${found.images} images in this file.`;
    setText(byId("again-text"), text);
    const go = byId("continue");
    setText(go, `Continue as ${found.name}`);
    go.onclick = proceed;
    go.focus();
    byId("another").onclick = () => {
      showForm();
      name.focus();
      name.select();
    };
  }
}
