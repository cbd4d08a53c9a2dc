#include "serve/page/page_routes.h"

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <tuple>
#include <unordered_set>

#include "base/digest.h"
#include "base/embedded_file.h"
#include "reports/locale.h"
#include "serve/lockdown.h"

namespace vitrine {

std::span<const EmbeddedFile> page_files();

namespace serve {
namespace {

using std::chrono::seconds;

constexpr size_t kStreamBacklog = 8 << 20;  // a reader that is further behind asks again
constexpr seconds kBeat{15};                // at least one event in this time shows that the client is there

// https://www.w3.org/TR/CSP3/: nothing but what this server itself serves, and no code or style in the HTML.
Headers page_headers(const RouteCall& call, std::string_view type) {
  Headers headers = call.headers;
  headers.emplace_back("Content-Type", std::string(type));
  headers.emplace_back("Content-Security-Policy",
                       "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' "
                       "data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                       "require-trusted-types-for 'script'; trusted-types 'none'");
  headers.emplace_back("Referrer-Policy", "no-referrer");
  headers.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  headers.emplace_back("Cross-Origin-Embedder-Policy", "require-corp");
  headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
  headers.emplace_back("Permissions-Policy",
                       "camera=(), microphone=(), geolocation=(), display-capture=(), usb=(), serial=()");
  return headers;
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

// For an attribute of HTML.
std::string escaped(std::string text) {
  for (const auto& [what, with] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"&", "&amp;"}, {"\"", "&quot;"}, {"<", "&lt;"}, {">", "&gt;"}}) {
    replace_all(text, what, with);
  }
  return text;
}

struct StaticFile {
  std::string_view type;
  std::string content, etag;

  StaticFile(std::string_view media_type, std::string text) : type(media_type), content(std::move(text)) {
    etag = "\"" + to_hex(sha256(as_bytes(content))).substr(0, 32) + "\"";
  }
};

// What the browser gets, made once of the embedded files.
struct Files {
  std::string html;  // with places for what differs
  std::map<std::string, StaticFile, std::less<>> by_name;

  Files() {
    std::string script, style;
    nlohmann::json words;
    for (const EmbeddedFile& file : page_files()) {  // by name, which is the scripts' order
      if (file.name == "index.html") html = file.content;
      if (file.name == "style.css") style = file.content;
      if (file.name.starts_with("js/")) script.append(file.content).append("\n");
      for (const char* language : {"en", "ko"}) {
        if (file.name != std::string("locale/") + language + ".json") continue;
        words["texts"][language] = nlohmann::json::parse(file.content);
        const Locale locale = Locale::of(language);
        for (const auto& [id, text] : locale.texts()) {
          if (id.starts_with("type.")) words["types"][language][id.substr(5)] = text;
        }
      }
    }
    by_name.emplace("app.js", StaticFile("text/javascript; charset=utf-8", std::move(script)));
    by_name.emplace("style.css", StaticFile("text/css; charset=utf-8", std::move(style)));
    by_name.emplace("words.json", StaticFile("application/json", words.dump()));
  }
};

// One open stream of /page/fields. Owner: the set of all, until it ends.
class FieldStream : public std::enable_shared_from_this<FieldStream> {
 public:
  FieldStream(PageContext& context, std::shared_ptr<Responder> responder)
      : context_(context), responder_(std::move(responder)), timer_(context.io) {}

  void begin(Headers headers, Glass::FollowerId follower) {
    follower_ = follower;
    responder_->start(200, std::move(headers));
    responder_->write(std::exchange(so_far_, {}));
    tick();
  }
  // From Glass.
  void take(std::string_view events) {
    if (follower_ == 0) {
      so_far_ += events;
    } else if (events.empty()) {
      ended_by_glass_ = true;
    } else {
      responder_->write(events);
    }
  }
  void stop() {
    timer_.cancel();
    if (follower_ != 0) context_.glass.unfollow(std::exchange(follower_, 0));
  }
  void end() {
    stop();
    responder_->finish();
  }

  std::function<void()> on_end;

 private:
  void tick() {
    if (responder_->gone()) return;
    if (ended_by_glass_ || responder_->backlog() > kStreamBacklog) {
      end();
      if (on_end) on_end();
      return;
    }
    const ConnectionReport report = context_.watch.report();
    // What only grows with time is no news.
    const auto key =
        std::tuple(report.now.elsewhere.size(), report.elsewhere_total, report.now.accepted, report.filtered_threads,
                   report.failed_looks, report.now.upstream.size(), context_.upstream_opened());
    const auto now = std::chrono::steady_clock::now();
    if (key != told_ || now - told_at_ >= kBeat) {
      told_ = key;
      told_at_ = now;
      responder_->write("event: connections\ndata: " + to_json(report, locked_down(), context_.upstream_opened()) +
                        "\n\n");
    }
    timer_.expires_after(seconds(1));
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto self = weak.lock();
      if (self && !error) self->tick();
    });
  }

  PageContext& context_;
  const std::shared_ptr<Responder> responder_;
  boost::asio::steady_timer timer_;
  Glass::FollowerId follower_ = 0;
  std::string so_far_;  // came before begin()
  bool ended_by_glass_ = false;
  std::tuple<size_t, uint64_t, uint64_t, unsigned, uint64_t, size_t, uint64_t> told_{};
  std::chrono::steady_clock::time_point told_at_{};
};

class PageRoutes : public PageStreams, public std::enable_shared_from_this<PageRoutes> {
 public:
  explicit PageRoutes(PageContext context) : context_(std::move(context)) {}

  void html(RouteCall call) {
    const bool head = call.request.method == "HEAD";  // sees no page, so none begins
    const std::string id = head ? "" : context_.glass.open_page(context_.tap_id(call.request.peer.connection));
    std::string text = files_.html;
    replace_all(text, "{{page}}", id);
    replace_all(text, "{{keys}}", context_.asks_keys() ? "asked" : "");
    replace_all(text, "{{log}}", context_.log);
    replace_all(text, "{{upstream}}", escaped(context_.upstream));
    replace_all(text, "{{version}}", context_.version);
    Headers headers = page_headers(call, "text/html; charset=utf-8");
    headers.emplace_back("Cache-Control", "no-store");
    call.responder->send(200, std::move(headers), std::move(text));
  }

  void file(RouteCall call) const {
    const auto found = files_.by_name.find(call.rest);
    if (found == files_.by_name.end()) {
      return send_error(*call.responder, Api::openai, {ErrorCode::usage, "the page has no such file", {}}, call.headers,
                        404, "not_found");
    }
    const StaticFile& file = found->second;
    Headers headers = page_headers(call, file.type);
    headers.emplace_back("Cache-Control", "no-cache");
    headers.emplace_back("ETag", file.etag);
    const std::string_view known = find_header(call.request.headers, "if-none-match");
    if (known.find(file.etag) != known.npos || known == "*") return call.responder->send(304, std::move(headers), {});
    call.responder->send(200, std::move(headers), file.content);
  }

  void fields(RouteCall call) {
    const auto refuse = [&](int status, std::string message, std::string_view code) {
      send_error(*call.responder, Api::openai, {ErrorCode::usage, std::move(message), {}}, call.headers, status, code);
    };
    if (ended_) return refuse(503, "this server is stopping", "stopping");
    std::string_view id = call.request.query;
    if (!id.starts_with("page=")) return refuse(400, "page=ID is missing", "invalid_request");
    id.remove_prefix(5);
    const auto stream = std::make_shared<FieldStream>(context_, call.responder);
    const auto follower = context_.glass.follow(
        std::string(id), [stream = stream.get()](std::string_view events) { stream->take(events); });
    if (!follower) return refuse(404, "this page is not known any more: load it again", "no_such_page");
    Headers headers = page_headers(call, "text/event-stream");
    headers.emplace_back("Cache-Control", "no-store");
    streams_.insert(stream);
    const auto forget = [weak = weak_from_this(), stream = stream.get()] {
      const auto self = weak.lock();
      if (!self) return;
      const auto held = stream->shared_from_this();  // until this returns
      stream->stop();
      self->streams_.erase(held);
    };
    stream->on_end = forget;
    call.responder->on_gone(forget);
    stream->begin(std::move(headers), *follower);
  }

  void connections(RouteCall call) {
    Headers headers = page_headers(call, "application/json");
    headers.emplace_back("Cache-Control", "no-store");
    call.responder->send(200, std::move(headers),
                         to_json(context_.watch.report(), locked_down(), context_.upstream_opened()));
  }

  void end() override {
    ended_ = true;
    const auto streams = std::exchange(streams_, {});
    for (const auto& stream : streams) stream->end();
  }

 private:
  PageContext context_;
  const Files files_;
  std::unordered_set<std::shared_ptr<FieldStream>> streams_;
  bool ended_ = false;
};

}  // namespace

std::shared_ptr<PageStreams> add_page_routes(Router& router, PageContext context) {
  const auto routes = std::make_shared<PageRoutes>(std::move(context));
  using Door = Router::Door;
  router.add("GET", "/", Door::open, [routes](RouteCall call) { routes->html(std::move(call)); });
  router.add("GET", "/page/*", Door::open, [routes](RouteCall call) { routes->file(std::move(call)); });
  router.add("GET", "/page/fields", Door::key, [routes](RouteCall call) { routes->fields(std::move(call)); });
  router.add("GET", "/page/connections", Door::key, [routes](RouteCall call) { routes->connections(std::move(call)); });
  return routes;
}

}  // namespace serve
}  // namespace vitrine
