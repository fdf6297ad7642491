// The frame around every page, and which page an address means.
import { html, render, useEffect, useRef, useState } from "../vendor/preact.js";
import { call, useData } from "./api.js";
import { useAddress } from "./router.js";
import { Icon } from "./ui.js";
import { Jobs } from "./pages/jobs.js";
import { JobRoute } from "./pages/job.js";
import { NewJob } from "./pages/new.js";
import { Overview } from "./pages/overview.js";
import { SignIn } from "./pages/signin.js";
import { Toolchains } from "./pages/toolchains.js";
import { Workers } from "./pages/workers.js";

const ASSETS = new URL("..", import.meta.url).pathname;
const PAGES = [
  { path: "/", label: "Overview", page: Overview },
  { path: "/jobs", label: "Jobs", page: Jobs },
  { path: "/workers", label: "Workers", page: Workers },
  { path: "/toolchains", label: "Toolchains", page: Toolchains },
];
const THEMES = { auto: "light", light: "dark", dark: "auto" };
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };

function ThemeSwitch() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "auto");
  const next = () => {
    const chosen = THEMES[theme];
    if (chosen === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("wasmgrid-theme");
    } else {
      document.documentElement.dataset.theme = chosen;
      localStorage.setItem("wasmgrid-theme", chosen);
    }
    setTheme(chosen);
    dispatchEvent(new Event("theme"));
  };
  const label = `Colours: ${theme === "auto" ? "as the system" : theme}. Change`;
  return html`<button type="button" class="button quiet icon" onClick=${next} title=${label} aria-label=${label}>
    <${Icon} name=${THEME_ICONS[theme]} /></button>`;
}

function Bar({ path, onSignOut }) {
  const here = (page) => (page.path === "/" ? path === "/" : path.startsWith(page.path));
  return html`<header class="bar">
    <a class="brand" href="/" aria-label="wasmgrid, overview"><img src=${`${ASSETS}logo.svg`} alt="" />wasmgrid</a>
    <nav class="nav" aria-label="Pages">
      ${PAGES.map((page) => html`<a href=${page.path} aria-current=${here(page) ? "page" : undefined}>${page.label}</a>`)}
    </nav>
    <div class="bar-end">
      <a class="button primary" href="/new" aria-current=${path === "/new" ? "page" : undefined}><${Icon} name="plus" />New job</a>
      <${ThemeSwitch} />
      <button type="button" class="button quiet icon" onClick=${onSignOut} title="Sign out" aria-label="Sign out"><${Icon} name="out" /></button>
    </div>
  </header>`;
}

function Foot({ path }) {
  const { data } = useData("/v1/version");
  return html`<footer class="foot">
    <span>wasmgrid ${data?.version ?? ""}</span>
    <a href=${`${path === "/" ? "/overview" : path}.json${location.search}`} target="_blank">this page as JSON</a>
    <a href="/schema/openapi.json" target="_blank">API</a>
  </footer>`;
}

function Page({ path, query }) {
  const found = PAGES.find((page) => page.path === path);
  if (found) return html`<${found.page} query=${query} />`;
  if (path === "/new") return html`<${NewJob} query=${query} />`;
  const job = /^\/jobs\/(\w+)$/.exec(path);
  if (job) return html`<${JobRoute} key=${job[1]} id=${job[1]} query=${query} />`;
  return html`<div class="empty"><h1>There is no such page</h1><a href="/">To the overview</a></div>`;
}

function App() {
  const { path, query } = useAddress();
  const [signedIn, setSignedIn] = useState(path !== "/sign-in");
  const main = useRef();
  useEffect(() => {
    const out = () => setSignedIn(false);
    addEventListener("signed-out", out);
    return () => removeEventListener("signed-out", out);
  }, []);
  useEffect(() => { main.current?.focus({ preventScroll: true }); }, [path]);
  if (!signedIn) return html`<${SignIn} logo=${`${ASSETS}logo.svg`} onSignedIn=${() => setSignedIn(true)} />`;
  const signOut = async () => {
    await call("DELETE", "/session").catch(() => {});
    setSignedIn(false);
  };
  return html`<a class="skip" href="#main">To the content</a>
    <${Bar} path=${path} onSignOut=${signOut} />
    <main id="main" tabindex="-1" ref=${main}><${Page} path=${path} query=${query} /></main>
    <${Foot} path=${path} />`;
}

render(html`<${App} />`, document.getElementById("app"));
