// The dialog to log in or to make an account.

import * as api from "./api.js";
import { $, element } from "./elements.js";
import * as problems from "./problems.js";
import { texts } from "./texts.js";

const form = $("account-form");

/** Open the dialog. */
export function open() {
  setMode("log in");
  form.reset();
  $("account").showModal();
  form.elements.email.focus();
}

/** Whether it is open. */
export const isOpen = () => $("account").open;

/** Let the dialog work; `onLoggedIn` is called after it has closed. */
export function start(onLoggedIn) {
  $("cancel").addEventListener("click", () => $("account").close());
  $("mode").addEventListener("click", () => {
    setMode(form.dataset.mode === "register" ? "log in" : "register");
    (form.dataset.mode === "register" ? form.elements.name : form.elements.email).focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await submit()) onLoggedIn();
  });
}

function setMode(mode) {
  const registers = mode === "register";
  form.dataset.mode = mode;
  form.querySelector("[data-for=register]").hidden = !registers;
  form.elements.password.autocomplete = registers ? "new-password" : "current-password";
  $("account-title").textContent = $("submit").textContent = registers ? texts.register : texts.logIn;
  $("mode").textContent = registers ? texts.toLogIn : texts.toRegister;
  showProblem(null);
}

/** Whether the customer is logged in now. */
async function submit() {
  const { name, email, password } = Object.fromEntries(new FormData(form));
  $("submit").disabled = true;
  showProblem(null);
  try {
    if (form.dataset.mode === "register") {
      await api.register({ name, email, password });
      setMode("log in"); // if what follows fails, registering again would find the e-mail taken
    }
    await api.logIn(email, password);
  } catch (problem) {
    showProblem(problem);
    return false;
  } finally {
    $("submit").disabled = false;
  }
  $("account").close();
  return true;
}

/** Show what is wrong beside the fields, or above them; null takes that away. */
function showProblem(problem) {
  for (const shown of form.querySelectorAll(".wrong")) shown.remove();
  for (const field of form.elements) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  $("account-problem").textContent = "";
  if (problem === null) return;
  for (const [name, sentence] of problems.fields(problem)) {
    const field = form.elements[name];
    if (!field || field.closest("[hidden]")) continue;
    const id = `wrong-${name}`;
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", id);
    field.closest("label").after(element("p", { class: "wrong", id }, sentence));
  }
  const first = form.querySelector("[aria-invalid]");
  if (first === null) $("account-problem").textContent = problems.sentence(problem);
  (first ?? form.elements.password).focus();
}
