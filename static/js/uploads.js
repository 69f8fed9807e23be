// Sends forms with data-upload piece by piece with a progress bar; without this script they are plain forms.
(() => {
  const size = (bytes) => bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB`
    : `${Math.ceil(bytes / 1e3)} kB`;
  const GONE = "The connection broke, so nothing was kept. Check the network and send it again.";

  for (const form of document.querySelectorAll("form[data-upload]")) {
    const state = form.querySelector("[data-upload-state]");
    const bar = state.querySelector("progress");
    const text = state.querySelector("[data-upload-text]");
    const problem = form.querySelector("[data-upload-problem]");
    const button = form.querySelector("button[type=submit]");
    const files = form.querySelector("input[type=file]");
    const most = Number(form.dataset.uploadMost);
    let request = null;

    const chosen = () => [...files.files].reduce((sum, file) => sum + file.size, 0);
    const say = (sentence) => {
      problem.textContent = sentence;
      problem.hidden = !sentence;
      if (sentence) problem.scrollIntoView({ block: "nearest" });
    };
    const rest = () => {
      request = null;
      state.hidden = true;
      button.disabled = false;
    };
    const fail = (sentence) => {
      rest();
      say(sentence);
    };
    const tooLarge = () => chosen() > most
      && `This has ${size(chosen())}; at most ${size(most)} are taken. Bring a part of it.`;

    files.addEventListener("change", () => say(tooLarge() || ""));
    state.querySelector("[data-upload-stop]").addEventListener("click", () => request?.abort());
    addEventListener("beforeunload", (event) => request && event.preventDefault());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (request) return;
      if (tooLarge()) return say(tooLarge());
      say("");
      request = new XMLHttpRequest();
      const total = chosen();
      const began = performance.now();
      state.hidden = false;
      button.disabled = true;
      bar.value = 0;
      text.textContent = "Sending …";
      request.upload.addEventListener("progress", ({ loaded, total: all }) => {
        const share = all ? loaded / all : 0;
        bar.value = share;
        const left = share > .02 ? ((performance.now() - began) / 1000) * (1 - share) / share : 0;
        const time = left >= 1 ? `, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`} left` : "";
        text.textContent = `${size(share * total)} of ${size(total)}${time}`;
      });
      request.upload.addEventListener("load", () => { text.textContent = "Sent. The server puts it in its place …"; });
      request.addEventListener("abort", () => fail("Stopped. Nothing was kept."));
      request.addEventListener("error", () => fail(GONE));
      request.addEventListener("load", ({ target }) => {
        let answer = {};
        try {
          answer = JSON.parse(target.responseText);
        } catch {
          answer = { error: target.status === 403
            ? "You are not signed in any more. Sign in in another tab, then send it again." : GONE };
        }
        if (!answer.url) return fail(answer.error || GONE);
        request = null;
        location.assign(answer.url);
      });
      request.open("POST", form.action);
      request.setRequestHeader("Accept", "application/json");
      request.send(new FormData(form));
    });
  }
})();
