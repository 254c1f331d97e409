// Starts textual-serve's terminal once its font is there (it measures the font first), on this very address:
// through a tunnel or a proxy the page may have another host, port or path than its server knows of.
"use strict";

const terminal = document.getElementById("terminal");
terminal.dataset.sessionWebsocketUrl = new URL("ws", location.href).href.replace(/^http/, "ws");
document.getElementById("again").addEventListener("click", () => location.reload());

// Keys go where the focus is: to the terminal while it is alive, then to the one thing left to do.
new MutationObserver(() => {
  const shown = document.body.classList;
  if (shown.contains("-closed")) document.getElementById("again").focus();
  else if (shown.contains("-first-byte")) terminal.querySelector("textarea").focus();
}).observe(document.body, { attributeFilter: ["class"] });

function start() {
  const script = document.createElement("script");
  script.src = "static/js/textual.js";
  // The script waits for the window's load event, which has been.
  script.addEventListener("load", () => window.onload());
  document.body.append(script);
}

window.addEventListener("load", () => document.fonts.load('15px "Roboto Mono"').finally(start));
