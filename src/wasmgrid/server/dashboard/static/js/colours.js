// The page's colours for what is drawn by hand.
import { useEffect, useState } from "../vendor/preact.js";

/** A token's colour as the canvas wants it, in the colours that are in force. */
export function colour(element, token) {
  const probe = document.createElement("i");
  probe.style.color = `var(${token})`;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Counts up whenever the colours change. */
export function useColours() {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const again = () => setVersion((n) => n + 1);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("theme", again);
    dark.addEventListener("change", again);
    return () => { removeEventListener("theme", again); dark.removeEventListener("change", again); };
  }, []);
  return version;
}
