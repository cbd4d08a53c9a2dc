#include "serve/page/glass.h"

#include <sys/random.h>

#include <algorithm>

#include "base/digest.h"
#include "base/json_writer.h"
#include "base/text.h"

namespace vitrine::serve {
namespace {

std::string random_id() {
  uint8_t bytes[16] = {};
  (void)getrandom(bytes, sizeof bytes, 0);
  return to_hex(bytes);
}

std::string opened_event(const ExchangeId& id, Timestamp time, std::string_view method, std::string_view target,
                         std::string_view protocol) {
  std::string out = "event: exchange\ndata: ";
  JsonWriter json(out);
  json.begin().key("exchange").string(id.to_string()).key("time").string(to_rfc3339(time));
  json.key("method").string(method).key("target").string(target).key("protocol").string(protocol).end();
  return out + "\n\n";
}

std::string opened_event(const Exchange& exchange) {
  return opened_event(exchange.id, exchange.opened, exchange.method, exchange.path, to_string(exchange.protocol));
}

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }

// The value of `page=` in the query of a target; "" without one.
std::string_view page_in_query(std::string_view target) {
  const size_t question = target.find('?');
  std::string_view query = question == target.npos ? std::string_view() : target.substr(question + 1);
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    if (pair.starts_with("page=")) return pair.substr(5);
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
  }
  return {};
}

}  // namespace

Glass::Glass(const Knowledge& knowledge, GlassLimits limits)
    : knowledge_(knowledge), limits_(limits), line_(knowledge, *this) {}

// ---- what the tap shows

void Glass::connection(const ConnectionInfo& info, ConnectionEvent event) {
  // opened and hello are passed on when a page uses the connection: most belong to other clients.
  if (event != ConnectionEvent::closed || connections_.erase(info.id) == 0) return;
  line_.extractor().connection(info, event);
  take_fields();
}

void Glass::part(const Exchange& exchange, const Part& part) {
  if (part.direction != Direction::client_to_server) return;  // an answer is nothing that the page sent
  auto watched = exchanges_.find(exchange.id);
  const bool first = watched == exchanges_.end();
  if (first) {
    if (part.kind != Part::Kind::headers) return;
    const std::string page = page_of(exchange, part);
    const bool loads = exchange.method == "GET" && path_of(exchange.path) == "/";
    if (page.empty() && !loads) return;
    watched = exchanges_.emplace(exchange.id, Watched{page, {}}).first;
    const ConnectionInfo& info = *exchange.connection;
    if (!connections_.contains(info.id)) {
      line_.extractor().connection(info, ConnectionEvent::opened);
      line_.extractor().connection(info, ConnectionEvent::hello);
      connections_[info.id] = opened_event({info.id, 0}, info.opened, "", "", "") + take_fields();
    }
    line_.extractor().opened(exchange);
  }
  line_.extractor().part(exchange, part);
  const std::string fields = take_fields();
  if (watched->second.page.empty()) {
    if (first) watched->second.events = opened_event(exchange);
    watched->second.events += fields;
    return;
  }
  const auto page = pages_.find(watched->second.page);
  if (page == pages_.end()) return;
  page->second.used = ++clock_;
  if (first) {
    if (page->second.connections.insert(exchange.id.connection).second) {
      push(page->second, connections_[exchange.id.connection]);
    }
    push(page->second, opened_event(exchange));
  }
  if (!fields.empty()) push(page->second, fields);
}

void Glass::closed(const Exchange& exchange, CloseReason reason) {
  const auto watched = exchanges_.find(exchange.id);
  if (watched == exchanges_.end()) return;
  line_.extractor().closed(exchange, reason);
  const std::string fields = take_fields();
  if (const auto page = pages_.find(watched->second.page); page != pages_.end()) {
    std::string event = "event: closed\ndata: ";
    JsonWriter json(event);
    json.begin().key("exchange").string(exchange.id.to_string()).key("status").number(exchange.status);
    json.key("sent").number(exchange.message(Direction::client_to_server).bytes.total()).end();
    push(page->second, fields + event + "\n\n");
  }
  exchanges_.erase(watched);
}

void Glass::field(const Field& field) {
  if (field.direction != Direction::client_to_server) return;
  fields_ += "data: ";
  writer_.append(fields_, field, knowledge_.taxonomy.id(field.type));  // ends in a line feed
}

std::string Glass::take_fields() {
  if (fields_.empty()) return {};
  std::string event = "event: fields\n" + fields_ + "\n";
  fields_.clear();
  return event;
}

std::string Glass::page_of(const Exchange& exchange, const Part& part) const {
  std::string_view id = page_in_query(exchange.path);
  for (const HeaderField& header : part.headers) {
    if (equals_ignoring_case(header.name, kPageHeader)) id = header.value;
  }
  return pages_.contains(id) ? std::string(id) : std::string();
}

// ---- pages

std::string Glass::open_page(ConnectionId connection) {
  forget_pages();
  const std::string id = random_id();
  Page& page = pages_[id];
  page.used = ++clock_;
  for (auto at = exchanges_.lower_bound({connection, 0}); at != exchanges_.end(); ++at) {
    if (at->first.connection != connection) break;
    if (!at->second.page.empty()) continue;
    at->second.page = id;
    page.connections.insert(connection);
    push(page, connections_[connection]);
    push(page, std::exchange(at->second.events, {}));
    break;
  }
  return id;
}

void Glass::forget_pages() {
  while (pages_.size() >= limits_.pages) {
    const auto oldest = std::min_element(pages_.begin(), pages_.end(), [](const auto& a, const auto& b) {
      return std::pair(!a.second.followers.empty(), a.second.used) <
             std::pair(!b.second.followers.empty(), b.second.used);
    });
    for (const auto& [id, follower] : oldest->second.followers) follower({});
    pages_.erase(oldest);
  }
}

void Glass::push(Page& page, std::string event) {
  for (const auto& [id, follower] : page.followers) follower(event);
  page.bytes += event.size();
  page.events.push_back(std::move(event));
  while (page.bytes > limits_.page_bytes && !page.events.empty()) {
    page.bytes -= page.events.front().size();
    page.events.pop_front();
    ++page.left_out;
  }
}

std::optional<Glass::FollowerId> Glass::follow(const std::string& page, Follower follower) {
  const auto found = pages_.find(page);
  if (found == pages_.end()) return std::nullopt;
  Page& followed = found->second;
  followed.used = ++clock_;
  if (followed.followers.size() >= limits_.followers_per_page) {
    followed.followers.begin()->second({});
    followed.followers.erase(followed.followers.begin());
  }
  std::string so_far;
  if (followed.left_out > 0) so_far = "event: left-out\ndata: " + std::to_string(followed.left_out) + "\n\n";
  for (const std::string& event : followed.events) so_far += event;
  if (!so_far.empty()) follower(so_far);
  followed.followers.emplace(next_follower_, std::move(follower));
  return next_follower_++;
}

void Glass::unfollow(FollowerId follower) {
  for (auto& [id, page] : pages_) page.followers.erase(follower);
}

}  // namespace vitrine::serve
