// Addresses: links are followed without loading the page anew, and every state that matters is in the address.
import { useEffect, useState } from "../vendor/preact.js";

const changed = () => dispatchEvent(new Event("moved"));
addEventListener("popstate", changed);

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (!/^\/(jobs(\/\w+)?|workers|toolchains|new)?$/.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
  scrollTo(0, 0);
});

/** To another address; `replace`: the one before is not worth going back to. */
export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  changed();
}

/** Where we are: {path, query}. */
export function useAddress() {
  const here = () => ({ path: location.pathname, search: location.search });
  const [address, setAddress] = useState(here);
  useEffect(() => {
    const look = () => setAddress(here());
    addEventListener("moved", look);
    return () => removeEventListener("moved", look);
  }, []);
  return { path: address.path, query: new URLSearchParams(address.search) };
}
