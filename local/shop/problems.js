// Problems of the API (RFC 9457) as sentences for customers. What only developers understand goes to the console.

import { texts } from "./texts.js";

const ENDED = ["/problems/missing-credentials", "/problems/invalid-refresh-token", "/problems/invalid-token"];

/** Whether the problem means that there is no session any more. */
export const isEnd = (problem) => ENDED.includes(problem.type);

/** A sentence for the customer. */
export function sentence(problem) {
  console.warn(problem.title ?? problem, problem.detail ?? "", problem.requestId ?? "");
  if (isEnd(problem)) return texts.sessionEnded;
  switch (problem.type) {
    case "/problems/invalid-credentials": return texts.wrongCredentials;
    case "/problems/email-taken": return texts.emailTaken;
    case "/problems/unknown-product": return texts.noSuchProduct;
    case "/problems/unknown-share": return texts.noSuchShare;
    case "/problems/shares-full": return texts.fullShares(problem.max);
    case "/problems/favorites-full": return texts.full(problem.max);
    case "guest-list-full": return texts.fullGuest(problem.max);
    case "/problems/too-many-attempts":
    case "/problems/too-many-changes": return problem.retryAfter ? texts.wait(problem.retryAfter) : texts.waitSome;
    case "no-answer": return texts.unreachable;
    default: return problem.status >= 500 || problem.status === 429 ? texts.unreachable : texts.fault;
  }
}

/** What is wrong with which field of a form, `[[name, sentence]]`: one sentence for each field. */
export function fields({ errors = [] }) {
  const found = new Map();
  for (const { location: where, type } of errors) {
    const name = where.replace(/^body\.?/, "");
    if (!found.has(name)) found.set(name, fieldSentence(name, type));
  }
  return [...found];
}

function fieldSentence(name, type) {
  if (name === "name") return texts.enterName;
  if (name === "email") return texts.enterEmail;
  if (name !== "password") return texts.fault;
  return { string_too_short: texts.shortPassword, string_too_long: texts.longPassword, missing: texts.enterPassword }[type]
    ?? texts.easyPassword;
}
