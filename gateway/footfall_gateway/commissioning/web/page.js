// The page's own life: its language, which files are written, and the settings that go over the cable.
import { FieldError, Lines, connectCommand, line, message } from "./node_console.js";

const BAUD = 115200;
const TRIES = 6;
const EACH_MS = 5000; // a node that has just been plugged in takes some seconds to start
const WORDS = {
  en: {
    sending: "Sending … the board may take half a minute.",
    taken: "The board has taken the settings and restarts. It now tries them for three minutes; if it does not reach the gateway, it goes back to what it had.",
    refused: "The board refused the settings: ",
    silent: "The board did not answer. Is Footfall on it (step 2)? Is another program or tab using the cable? Unplug it, plug it in again, and retry.",
    named: "This board is called ",
    noPort: "No port was chosen.",
    busy: "The port cannot be opened: another program or tab is using it.",
    fields: {
      ssid: "The WiFi needs a name of 1 to 32 characters.",
      wifiPassword: "A WiFi password has at least 8 characters (or leave it empty for an open network).",
      host: "The gateway's address looks like 10.1.2.3 or gateway.town.example.",
      port: "The port is a number from 1 to 65535.",
    },
  },
  de: {
    sending: "Wird übertragen … das Board braucht bis zu einer halben Minute.",
    taken: "Das Board hat die Einstellungen übernommen und startet neu. Es probiert sie drei Minuten lang aus; erreicht es das Gateway nicht, gilt wieder, was vorher galt.",
    refused: "Das Board hat die Einstellungen abgelehnt: ",
    silent: "Das Board antwortet nicht. Ist Footfall darauf (Schritt 2)? Benutzt ein anderes Programm oder ein anderer Tab das Kabel? Stecker ziehen, wieder einstecken, noch einmal versuchen.",
    named: "Dieses Board heißt ",
    noPort: "Es wurde kein Anschluss ausgewählt.",
    busy: "Der Anschluss lässt sich nicht öffnen: Ein anderes Programm oder ein anderer Tab benutzt ihn.",
    fields: {
      ssid: "Das WLAN braucht einen Namen mit 1 bis 32 Zeichen.",
      wifiPassword: "Ein WLAN-Passwort hat mindestens 8 Zeichen (bei einem offenen Netz bleibt es leer).",
      host: "Die Adresse des Gateways sieht aus wie 10.1.2.3 oder gateway.stadt.example.",
      port: "Der Port ist eine Zahl von 1 bis 65535.",
    },
  },
};

const root = document.documentElement;
const status = document.getElementById("status");
const words = () => WORDS[root.lang];

function speak(language) {
  root.lang = language;
  document.title = language === "de" ? "Footfall-Knoten einrichten" : "Set up a Footfall node";
  for (const button of document.querySelectorAll("[data-speak]"))
    button.setAttribute("aria-pressed", String(button.dataset.speak === language));
}

function choose() {
  const what = document.querySelector("input[name=what]:checked").value;
  const size = document.getElementById("size").value;
  const whole = what === "whole";
  document.getElementById("size-row").hidden = !whole;
  document.getElementById("warning").hidden = !whole;
  document.getElementById("install").manifest = whole ? `manifest-${size}mb.json` : "manifest-micropython.json";
}

function tell(text, kind) {
  status.textContent = text;
  status.className = kind;
}

// Open the port that is chosen, ask the board, say how it went; the board's answer, or null.
async function ask(command, taken) {
  let port;
  try {
    port = await navigator.serial.requestPort();
  } catch {
    tell(words().noPort, "bad");
    return null;
  }
  try {
    await port.open({ baudRate: BAUD });
  } catch {
    tell(words().busy, "bad");
    return null;
  }
  tell(words().sending, "");
  let reply = null;
  try {
    await port.setSignals({ dataTerminalReady: false, requestToSend: false }); // or the board stays in reset
    reply = await talk(port, command);
  } catch (error) {
    console.error(error);
  } finally {
    await port.close().catch(() => {});
  }
  if (!reply) tell(words().silent, "bad");
  else if (reply.error) tell(words().refused + reply.error, "bad");
  else {
    tell(taken, "good");
    return reply;
  }
  return null;
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  try {
    const command = connectCommand(Object.fromEntries(new FormData(form)), "page");
    if (await ask(command, words().taken)) form.reset();
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    tell(words().fields[error.field], "bad");
    form.elements[error.field].focus();
  }
}

async function readName() {
  const reply = await ask({ v: 1, do: "info", id: "page" }, "");
  if (!reply) return;
  document.getElementById("settings").elements.user.value = reply.node;
  tell(words().named + reply.node, "good");
}

// Send the command until it is answered; null when it never is.
async function talk(port, command) {
  const writer = port.writable.getWriter();
  const reader = port.readable.getReader();
  const lines = new Lines();
  const decoder = new TextDecoder();
  let reply = null;
  const listening = (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      for (const text of lines.feed(decoder.decode(value, { stream: true }))) {
        const found = message(text);
        if (found && found[0] === "reply" && found[1].do === command.do && found[1].id === command.id) {
          reply = found[1];
          return;
        }
      }
    }
  })();
  const text = new TextEncoder().encode("\n" + line("command", command));
  for (let attempt = 0; attempt < TRIES && !reply; attempt++) {
    await writer.write(text);
    await Promise.race([listening, new Promise((done) => setTimeout(done, EACH_MS))]);
  }
  await reader.cancel().catch(() => {});
  await listening.catch(() => {});
  reader.releaseLock();
  writer.releaseLock();
  return reply;
}

for (const button of document.querySelectorAll("[data-speak]"))
  button.addEventListener("click", () => speak(button.dataset.speak));
for (const input of document.querySelectorAll("input[name=what], #size")) input.addEventListener("change", choose);
document.getElementById("settings").addEventListener("submit", send);
document.getElementById("name").addEventListener("click", readName);
const wanted = new URLSearchParams(location.search).get("lang") || navigator.language;
speak(wanted.startsWith("de") ? "de" : "en");
choose();
if (!("serial" in navigator)) {
  document.getElementById("browser").hidden = false;
  for (const id of ["send", "name"]) document.getElementById(id).disabled = true;
}
