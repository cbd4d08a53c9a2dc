#include "capture/input/har.h"

#include <algorithm>

#include "capture/input/har_entry.h"
#include "capture/input/json_tree.h"

namespace vitrine {
namespace {

using Kind = JsonToken::Kind;

// Reads up to the '[' of log.entries. False when there is none.
bool find_entries(JsonTokenizer& json, JsonToken& token) {
  if (!json.next(token) || token.kind != Kind::begin_object) return false;
  for (const std::string_view wanted : {"log", "entries"}) {
    for (;;) {
      if (!json.next(token) || token.kind != Kind::key) return false;
      if (token.raw == wanted) break;
      if (!json.skip(token)) return false;
    }
    if (!json.next(token) || token.kind != (wanted == "log" ? Kind::begin_object : Kind::begin_array)) return false;
  }
  return true;
}

// The same when something before the entries (pages, browser) is damaged: the
// first "entries" that is followed by an array. npos when there is none.
size_t find_entries_behind_damage(std::string_view text) {
  for (size_t at = text.find("\"entries\""); at != text.npos; at = text.find("\"entries\"", at + 1)) {
    size_t next = text.find_first_not_of(" \t\r\n", at + 9);
    if (next == text.npos || text[next] != ':') continue;
    next = text.find_first_not_of(" \t\r\n", next + 1);
    if (next != text.npos && text[next] == '[') return next + 1;
  }
  return text.npos;
}

// Behind a damaged place: the next object that is an entry, because it has a
// request with a URL. Objects that are not (headers, timings) are stepped over
// whole; the bounded depth bounds how often a byte is looked at.
size_t next_entry(std::string_view text, size_t from, JsonTree& tree) {
  constexpr uint32_t kProbeDepth = 64;
  for (size_t at = text.find('{', from); at != text.npos;) {
    const size_t inside = text.find_first_not_of(" \t\r\n", at + 1);
    if (inside == text.npos) return text.npos;
    size_t next = at + 1;
    if (text[inside] == '"') {
      JsonTokenizer probe(text, kProbeDepth, at);
      const bool whole = tree.read(probe);
      if (!tree.empty() && !tree.string(tree.find(&tree.root(), "request"), "url").empty()) return at;
      if (whole) next = probe.offset();
    }
    at = text.find('{', next);
  }
  return text.npos;
}

}  // namespace

bool looks_like_har(Bytes file) {
  const std::string_view head = as_text(file.first(std::min<size_t>(file.size(), 4096)));
  const size_t open = head.find_first_not_of("\xef\xbb\xbf \t\r\n");
  if (open == head.npos || head[open] != '{') return false;
  return head.find("\"log\"") != head.npos;
}

std::string har_comment(Bytes file) {
  JsonTokenizer json(as_text(file));
  JsonToken token;
  std::string scratch;
  if (!json.next(token) || token.kind != Kind::begin_object) return {};
  bool in_log = false;
  while (json.next(token) && token.kind == Kind::key) {
    if (in_log && token.raw == "entries") return {};
    const bool comment = in_log && token.raw == "comment";
    if (!in_log && token.raw == "log") {
      if (!json.next(token) || token.kind != Kind::begin_object) return {};
      in_log = true;
    } else if (comment) {
      return json.next(token) && token.kind == Kind::string ? std::string(unescaped(token, scratch)) : std::string();
    } else if (!json.skip(token)) {
      return {};
    }
  }
  return {};
}

Status read_har(Bytes file, ExchangeSink& sink) {
  const std::string_view text = as_text(file);
  JsonTokenizer json(text);
  JsonToken token;
  size_t position = 0;
  if (find_entries(json, token)) {
    position = json.offset();
  } else {
    position = find_entries_behind_damage(text);
    if (position == text.npos) {
      return fail(ErrorCode::malformed,
                  "no log.entries array found: this is not a HAR 1.2 file, or it is cut before its first entry");
    }
    sink.issue({Cause::malformed, "har: damaged before log.entries; the entries are read all the same", 0, 0});
  }
  uint64_t index = 0;
  JsonTree tree;
  for (;;) {
    position = text.find_first_not_of(" \t\r\n,", position);
    if (position == text.npos) {
      sink.issue({Cause::truncated, "har: the file ends before log.entries does", 0, 0});
      break;
    }
    if (text[position] == ']') break;
    // Each entry is a document of its own: a damaged one costs itself only.
    JsonTokenizer entry(text, 512, position);
    const bool whole = tree.read(entry);
    ++index;
    Cause damage = Cause::decoded;
    if (tree.overflowed()) {
      damage = Cause::truncated;
      sink.issue({damage, "har: entry with more values than are read of one", index, index});
    }
    if (!whole) {
      damage = tree.last_token().kind == Kind::cut ? Cause::truncated : Cause::malformed;
      sink.issue({damage,
                  damage == Cause::truncated ? "har: the file ends inside an entry"
                                             : "har: an entry is not JSON; reading goes on at the next one",
                  index, index});
    }
    if (!tree.empty() && tree.root().kind == Kind::begin_object) {
      HarEntry(tree, index, damage, sink).emit();
    } else if (whole) {
      sink.issue({Cause::malformed, "har: an entry is not an object", index, index});
    }
    if (whole) {
      position = entry.offset();
      continue;
    }
    position = next_entry(text, position + 1, tree);
    if (position == text.npos) break;
  }
  return {};
}

}  // namespace vitrine
