"use strict";
// "Verify in this browser": is a file that somebody downloaded what the room shows? It is read here, and sent nowhere.
(() => {
  const BLOCK = 512;
  const LARGEST = 2 ** 30;
  const $ = (selector) => document.querySelector(selector);
  const bytesOf = async (blob) => new Uint8Array(await blob.arrayBuffer());
  const textOf = (bytes) => new TextDecoder().decode(bytes);
  const isZero = (bytes) => bytes.every((byte) => byte === 0);
  const sha256 = async (blob) => {
    const sum = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
    return Array.from(new Uint8Array(sum), (byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  // The only header that a file of this path and size has in a bundle. All of it is compared, so no byte can change unseen.
  const header = (path, size) => {
    const block = new Uint8Array(BLOCK);
    const fields = [
      [0, path], [100, "0000644\0"], [108, "0000000\0"], [116, "0000000\0"], [124, `${size.toString(8).padStart(11, "0")}\0`],
      [136, "00000000000\0"], [148, "        "], [156, "0"], [257, "ustar\0" + "00"], [329, "0000000\0"], [337, "0000000\0"],
    ];
    const put = ([at, words]) => block.set(new TextEncoder().encode(words).subarray(0, BLOCK - at), at);
    fields.forEach(put);
    const sum = block.reduce((all, byte) => all + byte, 0);
    put([148, `${sum.toString(8).padStart(6, "0")}\0 `]);
    return block;
  };

  // The files of a bundle by path. A bundle has exactly one spelling; anything else is said by the byte where it begins.
  const filesOf = async (bundle) => {
    const files = new Map();
    let [at, last] = [0, ""];
    for (;;) {
      const block = await bytesOf(bundle.slice(at, at + BLOCK));
      if (block.length === BLOCK && isZero(block)) break;
      const path = textOf(block.subarray(0, 100)).replace(/\0.*$/s, "");
      const size = parseInt(textOf(block.subarray(124, 135)), 8);
      const own = header(path, size);
      if (block.length !== BLOCK || path <= last || !own.every((byte, i) => byte === block[i])) {
        throw new Error(`what stands at byte ${at} is no header of a bundle`);
      }
      const end = at + BLOCK + size;
      const next = Math.ceil(end / BLOCK) * BLOCK;
      if (next > bundle.size || !isZero(await bytesOf(bundle.slice(end, next)))) {
        throw new Error(`it is cut off, or something stands behind ${path}`);
      }
      files.set(path, bundle.slice(at + BLOCK, end));
      [at, last] = [next, path];
    }
    if (bundle.size !== at + 2 * BLOCK || !isZero(await bytesOf(bundle.slice(at)))) {
      throw new Error("it is cut off, or something stands behind its end");
    }
    return files;
  };

  const fromBase64 = (text) => {
    const bytes = /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? atob(text) : "";
    return btoa(bytes) === text ? Uint8Array.from(bytes, (char) => char.charCodeAt(0)) : new Uint8Array();
  };

  // Whether the note signs exactly this manifest, by the key that the manifest names and the ledger thereby vouches for (c2sp.org/signed-note).
  // Nothing when this browser has no Ed25519 (RFC 8032).
  const isSigned = async (note, sum, { origin, vkey }) => {
    const [name, id, encoded] = vkey.match(/^([^+]+)\+([^+]+)\+(.+)$/s).slice(1);
    const text = `quell-evidence-manifest-v1\n${origin}\n${sum}\n`;
    const head = `${text}\n— ${name} `;
    const line = fromBase64(note.slice(head.length, -1));
    const own = Array.from(line.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (!note.startsWith(head) || !note.endsWith("\n") || line.length !== 68 || own !== id) return false;
    let key;
    try {
      key = await crypto.subtle.importKey("raw", fromBase64(encoded).subarray(1), "Ed25519", false, ["verify"]);
    } catch {
      return null;
    }
    return crypto.subtle.verify("Ed25519", key, line.subarray(4), new TextEncoder().encode(text));
  };

  // The ledger holds the hash of the manifest; the manifest holds the hash of every other file.
  const bundleIs = async (bundle) => {
    const files = await filesOf(bundle);
    const [manifest, note] = [files.get("manifest.json"), files.get("manifest.note")];
    if (!manifest || !note) throw new Error("it has no manifest, so it is no bundle");
    const sum = await sha256(manifest);
    if (!$(`#evidence [data-manifest="${sum}"]`)) {
      throw new Error(`its manifest has the SHA-256 ${sum}, which is none of those above. If the bundle was made a moment ago, load this page again`);
    }
    const told = JSON.parse(await manifest.text());
    const signed = await isSigned(textOf(await bytesOf(note)), sum, told);
    if (signed === false) throw new Error("what stands in manifest.note is not the signature of its manifest");
    const listed = told.files;
    for (const { path, sha256: wanted } of listed) {
      const file = files.get(path);
      if (!file || (await sha256(file)) !== wanted) throw new Error(`${path} in it is not what was put there`);
    }
    if (files.size !== listed.length + 2) throw new Error("it holds a file that its manifest does not name");
    return `This is a bundle that left from here: its manifest is the one shown above, and each of its ${listed.length} files is the one that the manifest names. ` +
      (signed ? "Its manifest is signed by the key that it names; the signatures of others in it" : "This browser cannot look at signatures (Ed25519): they") +
      " are for quell evidence verify.";
  };

  // Tone, shape and words.
  const judge = async (file) => {
    if (!globalThis.crypto || !crypto.subtle) {
      return ["warn", "▲", "This browser hashes files only on pages that come by https (or from localhost), and this one does not. Do it by hand, as below."];
    }
    if (file.size > LARGEST) return ["bad", "✕", "This is none of the files shown: none is larger than 1 GiB."];
    const sum = await sha256(file);
    const row = $(`#evidence [data-file="${sum}"]`);
    if (row) return ["good", "✓", `This is ${row.dataset.name}: its SHA-256 is the one shown, ${sum}.`];
    const isArchive = textOf(await bytesOf(file.slice(257, 262))) === "ustar";
    if (!isArchive) {
      return ["bad", "✕", `This is none of the files shown. Its SHA-256 is ${sum}: it was changed, or it is of another incident.`];
    }
    try {
      return ["good", "✓", await bundleIs(file)];
    } catch (error) {
      return ["bad", "✕", `This is no bundle that left from here: ${error.message}.`];
    }
  };

  const show = (tone, shape, words) => {
    const said = $("#verify-said");
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.ariaHidden = "true";
    mark.textContent = shape;
    said.className = tone ? `notice ${tone}` : "";
    said.replaceChildren(...(shape ? [mark, ` ${words}`] : [words]));
  };

  let newest = 0;
  document.addEventListener("change", async ({ target }) => {
    if (target.id !== "verify-file") return;
    const own = ++newest;
    const file = target.files[0];
    if (!file) return show("", "", "");
    show("", "", "Reading the file …");
    const failed = (error) => ["warn", "▲", `The file could not be read: ${error.message}. Load this page again, and choose it anew.`];
    const said = await judge(file).catch(failed);
    if (own === newest) show(...said);
  });
  document.documentElement.classList.add("verifies");
})();
