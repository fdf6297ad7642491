// Before anybody is signed in: a link does it by itself, otherwise the page says which command makes one.
import { html, useEffect, useState } from "../../vendor/preact.js";
import { post } from "../api.js";
import { go } from "../router.js";
import { Command, Failure, Field, useTitle } from "../ui.js";

/** The code that a link brought; it leaves the address at once, so that neither history nor a screen keeps it. */
function takeCode() {
  if (location.pathname !== "/sign-in" || location.hash.length < 2) return null;
  const code = location.hash.slice(1);
  history.replaceState(null, "", "/sign-in");
  return code;
}

export function SignIn({ logo, onSignedIn }) {
  const [code] = useState(takeCode);
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(code !== null);
  const [problem, setProblem] = useState(null);
  useTitle("Sign in");
  const show = async (what) => {
    setBusy(true);
    setProblem(null);
    try {
      await post("/session", what);
      if (location.pathname === "/sign-in") go("/", { replace: true });
      onSignedIn();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  useEffect(() => { if (code !== null) show({ code }); }, [code]);
  const submit = (event) => { event.preventDefault(); if (token.trim()) show({ token: token.trim() }); };
  return html`<main class="sign-in" id="main">
    <div class="card">
      <img src=${logo} alt="" />
      <h1>${busy && code !== null ? "Signing in …" : "Sign in to this grid"}</h1>
      <p class="muted">On the machine where the grid runs, type this and open the link that it prints. A link works once.</p>
      <${Command}>wasmgrid dashboard<//>
      <${Failure} problem=${problem} />
      <form onSubmit=${submit}>
        <${Field} label="Or paste the grid's token">
          <input class="input" type="password" name="token" autocomplete="off" spellcheck="false" value=${token}
            onInput=${(event) => setToken(event.target.value)} placeholder="the content of $WASMGRID_HOME/token" />
        <//>
        <button class="button primary" disabled=${busy || !token.trim()}>Sign in</button>
      </form>
    </div>
  </main>`;
}
