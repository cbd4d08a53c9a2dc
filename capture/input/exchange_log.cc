// What the first line of a log says.
#include "capture/input/exchange_log.h"

#include <algorithm>

#include "base/json_writer.h"
#include "capture/input/json_tree.h"

namespace vitrine {
namespace {

std::string_view first_line(Bytes file) {
  std::string_view head = as_text(file.first(std::min<size_t>(file.size(), 64 << 10)));
  if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
  return head.substr(0, head.find('\n'));
}

}  // namespace

bool looks_like_exchange_log(Bytes file) {
  const std::string_view head = first_line(file);
  return head.starts_with("{") && head.substr(0, 512).find("\"" + std::string(kExchangeLogMagic) + "\"") != head.npos;
}

std::string exchange_log_comment(Bytes file) {
  JsonTokenizer json(first_line(file));
  JsonTree tree;
  if (!tree.read(json)) return {};
  std::string comment(tree.string(&tree.root(), "comment"));
  if (tree.boolean(&tree.root(), "simulated", false) && comment.find("SIMULATED") == comment.npos) {
    comment.insert(0, comment.empty() ? "SIMULATED" : "SIMULATED: ");
  }
  return comment;
}

std::string exchange_log_head(const ExchangeLogHead& head) {
  std::string out;
  JsonWriter json(out);
  json.begin().key("type").plain(kExchangeLogMagic).key("version").number(1);
  if (head.simulated) json.key("simulated").boolean(true);
  if (!head.comment.empty()) json.key("comment").string(head.comment);
  if (head.content != RecordedContent::full) json.key("content").plain(to_string(head.content));
  if (head.ends) json.key("ends").boolean(true);
  json.end();
  return out + "\n";
}

Status read_exchange_log(Bytes file, ExchangeSink& sink) {
  ExchangeLogReader reader(sink);
  if (const Status read = reader.feed(file); !read) return read;
  return reader.finish();
}

}  // namespace vitrine
