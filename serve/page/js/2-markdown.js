// The little of Markdown that models use: fenced code, headings, lists, quotations, **bold**, *italic*
// and `code`. Links stay text: nothing on this page leads elsewhere.

function inline(into, text) {
  const pattern = /(`+)([\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])/g;
  let done = 0;
  for (const found of text.matchAll(pattern)) {
    into.append(text.slice(done, found.index));
    if (found[2] !== undefined) into.append(element("code", {}, found[2]));
    else if (found[3] !== undefined) inline(into.appendChild(element("strong")), found[3]);
    else inline(into.appendChild(element("em")), found[4]);
    done = found.index + found[0].length;
  }
  into.append(text.slice(done));
  return into;
}

function codeBlock(language, lines) {
  const copy = element("button", { class: "quiet", type: "button" }, t("copy"));
  const code = element("code", {}, lines.join("\n"));
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    copy.textContent = t("copied");
    setTimeout(() => (copy.textContent = t("copy")), 1500);
  });
  const head = element("div", { class: "block-head" }, element("span", {}, language || t("code")), copy);
  return element("div", { class: "block" }, head, element("pre", { tabindex: "0" }, code));
}

// Lines → elements. A fence that is not closed yet is code up to the end.
function blocks(lines) {
  const out = [];
  let paragraph = [];
  const end = () => {
    if (paragraph.length) out.push(inline(element("p"), paragraph.join("\n")));
    paragraph = [];
  };
  for (let i = 0; i < lines.length; ++i) {
    const line = lines[i];
    const fence = line.match(/^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/);
    if (fence) {
      end();
      const code = [];
      while (++i < lines.length && !lines[i].trim().startsWith(fence[1])) code.push(lines[i]);
      out.push(codeBlock(fence[2], code));
      continue;
    }
    const heading = line.match(/^#{1,6}\s+(.*)/);
    const item = line.match(/^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)/);
    if (line.trim() === "") {
      end();
    } else if (heading) {
      end();
      out.push(inline(element("h4"), heading[1]));
    } else if (item) {
      end();
      const tag = item[1] === undefined ? "ul" : "ol";
      let list = out.at(-1);
      if (list?.localName !== tag || lines[i - 1]?.trim() === "") {
        out.push((list = element(tag, { start: item[1] })));
      }
      inline(list.appendChild(element("li")), item[2]);
    } else if (line.startsWith("> ")) {
      end();
      const quote = out.at(-1)?.localName === "blockquote" ? out.at(-1) : element("blockquote");
      if (quote !== out.at(-1)) out.push(quote);
      inline(quote.appendChild(element("p")), line.slice(2));
    } else {
      paragraph.push(line);
    }
  }
  end();
  return out;
}

// Text that grows. What can change no more (before the last empty line outside a fence) is made once,
// so that a long answer costs no more per piece than a short one.
class GrowingText {
  constructor(into) {
    this.into = into;
    this.text = "";
    this.settled = 0; // characters made for good
    this.fresh = []; // elements of the rest
  }

  grow(text) {
    this.text = text;
    let fence = "";
    let at = this.settled;
    for (const line of text.slice(this.settled).split("\n")) {
      const mark = line.match(/^\s{0,3}(`{3,}|~{3,})/)?.[1];
      if (mark && !fence) fence = mark;
      else if (mark && line.trim().startsWith(fence)) fence = "";
      const next = at + line.length + 1;
      if (line.trim() === "" && !fence && next < text.length) {
        this.remove();
        this.into.append(...blocks(text.slice(this.settled, at).split("\n")));
        this.settled = next;
      }
      at = next;
    }
    this.remove();
    this.fresh = blocks(text.slice(this.settled).split("\n"));
    this.into.append(...this.fresh);
  }

  remove() {
    for (const one of this.fresh) one.remove();
    this.fresh = [];
  }
}
