// Before the first paint, so that no page flashes in the other colours. "auto" follows the system.
{
  const kept = localStorage.getItem("wasmgrid-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
}
