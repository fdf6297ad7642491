// What this grid can build, in which version, and how often a build was found ready.
import { html } from "../../vendor/preact.js";
import { useData } from "../api.js";
import { count, share } from "../format.js";
import { labelOf } from "../languages.js";
import { Badge, Copy, Empty, Failure, useTitle } from "../ui.js";

export function Toolchains() {
  useTitle("Toolchains");
  const { data, problem } = useData("/toolchains.json", 5000);
  const builds = data?.builds;
  return html`<div class="page-head"><h1>Toolchains</h1></div>
    <${Failure} problem=${problem} />
    <div class="tiles three">
      <div class="card tile"><span>Builds found ready</span><b class="number">${builds ? share(builds.hit_rate) : "–"}</b><i>of those that jobs asked for</i></div>
      <div class="card tile"><span>Builds</span><b class="number">${builds ? count(builds.count) : "–"}</b><i>asked for by jobs</i></div>
      <div class="card tile"><span>Languages</span><b class="number">${data ? new Set(data.toolchains.filter((each) => each.ready).map((each) => each.language)).size : "–"}</b><i>ready now</i></div>
    </div>
    <section class="card" aria-label="Toolchains">
      ${data && !data.toolchains.length ? html`<${Empty} title="No worker here can build" command="wasmgrid toolchain install"><p>Ready .wasm runs anyway. To install every compiler for the workers of this machine:</p><//>`
        : html`<div class="table-wrap"><table class="toolchains"><thead><tr><th>Language</th><th>State</th><th>Version</th><th>Workers</th><th>Install</th></tr></thead>
          <tbody>${data?.toolchains.map((each) => html`<tr key=${each.identity}>
            <td><b>${labelOf(each.language)}</b></td>
            <td>${each.ready ? html`<${Badge} state="ready" />` : html`<span class="badge tone-idle">on first use</span>`}</td>
            <td class="number">${each.version} <span class="faint small mono identity">${each.identity}</span></td>
            <td>${workersOf(data, each.language).join(", ") || html`<span class="faint">none</span>`}</td>
            <td class="nowrap">${each.ready ? html`<span class="faint">installed</span>` : html`<code>wasmgrid toolchain install ${each.language}</code><${Copy} text=${`wasmgrid toolchain install ${each.language}`} /> <span class="faint small">${each.download_mb} MB</span>`}</td>
          </tr>`)}</tbody></table></div>`}
    </section>`;
}

const workersOf = (data, language) => Object.entries(data.workers).filter(([, ready]) => ready.includes(language)).map(([id]) => id);
