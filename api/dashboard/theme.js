// The colour scheme that the visitor has chosen, set before the first paint; without a choice, the system's.
const scheme = localStorage.getItem("job-server.scheme");
if (scheme === "light" || scheme === "dark") document.documentElement.dataset.scheme = scheme;
