#include <fmt/format.h>
#include <signal.h>

#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <optional>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/field_line.h"
#include "cli/serve_setup.h"
#include "serve/client_programs.h"
#include "serve/lockdown.h"
#include "serve/page/page_routes.h"
#include "serve/tap_observer.h"

namespace vitrine::cli {
namespace {

namespace asio = boost::asio;

constexpr size_t kRecordBytes = 1024;

// To standard error, which may lie on the disk that is full: that must not end a server (fmt::print throws).
template <class... Values>
void say(fmt::format_string<Values...> text, Values&&... values) {
  const std::string line = fmt::format(text, std::forward<Values>(values)...);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

// A server and all that it is made of, in the order in which the parts need one another.
class ServeRun {
 public:
  explicit ServeRun(const ServeFlags& flags) : flags_(flags) {}

  // Listens, then locks the process; nothing is answered before run().
  Status open() {
    if (flags_.model.path.empty() == flags_.upstream.empty()) {
      return fail(ErrorCode::usage, "give one of --model FILE and --upstream URL");
    }
    auto options = listen_options(flags_);
    if (!options) return tl::make_unexpected(options.error());
    listen_ = std::move(*options);
    auto keys = load_keys(flags_.key_file);
    if (!keys) return tl::make_unexpected(keys.error());
    access_.emplace(serve::Access::Options{std::move(*keys), flags_.hosts, flags_.origins});
    router_.emplace(*access_);
    for (const auto step : {&ServeRun::open_engine, &ServeRun::open_tap, &ServeRun::open_page, &ServeRun::listen}) {
      if (const Status status = (this->*step)(); !status) return status;
    }
    add_routes();
    signals_.emplace(io_, SIGINT, SIGTERM, SIGHUP);
    wait_for_signals();
    look_for_end();
    if (flags_.no_lockdown) return {};
    if (const Status status = serve::lock_down(); !status) {
      Error error = status.error();
      error.message += "; --no-lockdown serves without the lock";
      return tl::make_unexpected(std::move(error));
    }
    return {};
  }

  // Until a signal; an error when the log is not complete.
  Status run() {
    if (!flags_.model.quiet) introduce();
    io_.run();
    server_->close();
    if (workers_) workers_->join();
    if (!tap_) return {};
    observer_.reset();
    return tap_->close(now());
  }

 private:
  Status open_engine() {
    // The process that reaches the engine elsewhere is made before any thread is.
    if (!flags_.upstream.empty()) {
      auto opened = open_upstream(flags_, io_);
      if (!opened) return tl::make_unexpected(opened.error());
      behind_.emplace(std::move(*opened));
      model_.name = flags_.upstream;
      return {};
    }
    auto opened = load_model(flags_);
    if (!opened) return tl::make_unexpected(opened.error());
    loaded_ = std::move(*opened);
    model_ = describe_model(flags_, *loaded_.engine);
    return {};
  }

  Status open_tap() {
    if (flags_.tap.empty() && flags_.no_page) return {};
    TapOptions options;
    options.path = flags_.tap;
    options.append = flags_.tap_append;
    options.content = *parse_tap_content(flags_.tap_content);
    if (flags_.tap.empty()) {  // for the page alone: nothing touches the disk
      options.http.body_bytes = options.http.body_memory = listen_.bounds.body_bytes;
    }
    options.comment = "vitrine serve " VITRINE_VERSION ", model " + model_.name;
    options.on_trouble = [](std::string_view what) { say("vitrine: tap: {}\n", what.empty() ? "writes again" : what); };
    auto opened = Tap::open(std::move(options));
    if (!opened) return tl::make_unexpected(opened.error());
    tap_ = std::move(*opened);
    // Only a log names programs; the page's fields are known to be the page's.
    if (!flags_.tap.empty()) programs_ = std::make_unique<serve::ClientPrograms>(io_);
    observer_ = std::make_unique<serve::TapObserver>(*tap_, programs_.get());
    router_->refuse_when([this] { return trouble(); });
    return {};
  }

  Status open_page() {
    if (flags_.no_page) return {};
    const auto data = data_folder({});
    if (!data) return tl::make_unexpected(data.error());
    auto known = load_knowledge(*data, {});
    if (!known) return tl::make_unexpected(known.error());
    knowledge_ = std::move(*known);
    glass_ = std::make_unique<serve::Glass>(*knowledge_);
    tap_->subscribe(*glass_);
    connections_ = std::make_unique<serve::ConnectionWatch>(std::chrono::seconds(1),
                                                            behind_ ? behind_->addresses : serve::DeclaredAddresses());
    return {};
  }

  Status listen() {
    auto opened = serve::HttpServer::open(
        io_, listen_,
        [this](serve::HttpRequest request, std::shared_ptr<serve::Responder> responder) {
          router_->handle(std::move(request), std::move(responder));
        },
        observer_.get());
    if (!opened) return tl::make_unexpected(opened.error());
    server_ = std::move(*opened);
    listening_ = server_.get();
    return {};
  }

  void add_routes() {
    if (behind_) {
      behind_->gateway->add_routes(*router_, access_->asks_keys());
    } else {
      serve::ServiceLimits limits;
      limits.sequences = flags_.sequences;
      limits.waiting = flags_.waiting;
      limits.waiting_per_owner = access_->asks_keys() ? std::max<size_t>(1, flags_.waiting / 4) : flags_.waiting;
      service_ = std::make_unique<serve::EngineService>(*loaded_.engine, limits);
      workers_.emplace(1);
      context_.emplace(serve::GenerationContext{io_, *workers_, *loaded_.engine, *service_});
      const bool pads = flags_.padding == "on" || (flags_.padding == "auto" && !is_loopback(listen_.address));
      if (pads) context_->record_bytes = kRecordBytes;
      serve::add_model_routes(*router_, *context_, model_);
    }
    serve::add_service_routes(
        *router_, service_.get(), listening_, [this] { return trouble(); }, [this] { return metrics(); });
    if (flags_.no_page) return;
    serve::PageContext page{io_, *glass_, *connections_, {}, {}, {}, VITRINE_VERSION, flags_.upstream};
    page.tap_id = [this](uint64_t connection) { return observer_->tap_id(connection); };
    page.asks_keys = [this] { return access_->asks_keys(); };
    if (!flags_.tap.empty()) page.log = flags_.tap_content;
    if (behind_) page.upstream_opened = [this] { return behind_->gateway->connected(); };
    page_streams_ = serve::add_page_routes(*router_, std::move(page));
  }

  // What no log can be kept of is not served.
  std::string trouble() const {
    return tap_ && tap_->failing() ? "the log of exchanges cannot be written; nothing is served unrecorded" : "";
  }

  std::string metrics() const {
    std::string out;
    if (behind_) behind_->append_metrics(out);
    if (flags_.tap.empty()) return out;
    const TapStatus status = tap_->status();
    serve::append_metric(out, "tap_failing", "gauge", "1: the log of exchanges cannot be written.", status.failing);
    serve::append_metric(out, "tap_bytes_total", "counter", "Written to the log.",
                         static_cast<double>(status.log_bytes));
    serve::append_metric(out, "tap_dropped_lines_total", "counter", "Lines that the log has lost.",
                         static_cast<double>(status.dropped_lines));
    return out;
  }

  // ---- signals and the end

  void wait_for_signals() {
    signals_->async_wait([this](boost::system::error_code error, int signal) {
      if (error) return;
      signal == SIGHUP ? reload() : stop();
      wait_for_signals();
    });
  }

  void reload() {
    if (auto again = load_keys(flags_.key_file)) {
      access_->set_keys(std::move(*again));
    } else {
      say("vitrine: keys were not reloaded: {}\n", again.error().to_string());
    }
    if (!tap_) return;
    if (const Status reopened = tap_->reopen(now()); !reopened) {
      say("vitrine: the log goes on in the old file: {}\n", reopened.error().to_string());
    }
  }

  void stop() {
    if (draining_) {
      server_->close();
      io_.stop();
      return;
    }
    draining_ = true;
    if (!flags_.model.quiet) say("finishing what is under way; again to cut it short\n");
    server_->drain();
    if (page_streams_) page_streams_->end();
  }

  // The loop ends when a drained server has no connection left.
  void look_for_end() {
    if (draining_ && server_->stats().open == 0) return io_.stop();
    watch_.expires_after(std::chrono::milliseconds(50));
    watch_.async_wait([this](boost::system::error_code) { look_for_end(); });
  }

  void introduce() const {
    const bool v6 = listen_.address.find(':') != std::string::npos;
    say("{} on {}://{}{}{}:{}  ", behind_ ? "gateway" : model_.name, server_->tls() ? "https" : "http", v6 ? "[" : "",
        listen_.address, v6 ? "]" : "", server_->port());
    if (behind_) {
      say("(passed on to {})\n", flags_.upstream);
    } else {
      say("({} sequences, {} tokens of context, {})\n", flags_.sequences, loaded_.engine->context(),
          loaded_.ops->description());
    }
    say("{}\n", !serve::locked_down() ? "NOT locked: this process could open connections"
                : behind_             ? "locked: this process reaches that address alone, and can start no program"
                                      : "locked: this process can open no connection and start no program");
    if (!flags_.tap.empty()) say("every exchange goes to {} ({})\n", flags_.tap, flags_.tap_content);
  }

  const ServeFlags& flags_;
  serve::ListenOptions listen_;
  asio::io_context io_{1};
  std::optional<Behind> behind_;
  LoadedModel loaded_;
  serve::ModelInfo model_;
  std::unique_ptr<Knowledge> knowledge_;
  std::unique_ptr<serve::Glass> glass_;
  std::unique_ptr<Tap> tap_;  // tells the glass what ends with it
  std::unique_ptr<serve::ClientPrograms> programs_;
  std::unique_ptr<serve::TapObserver> observer_;
  std::unique_ptr<serve::ConnectionWatch> connections_;
  std::optional<serve::Access> access_;
  std::optional<serve::Router> router_;
  std::unique_ptr<serve::HttpServer> server_;
  const serve::HttpServer* listening_ = nullptr;
  std::optional<asio::thread_pool> workers_;
  std::unique_ptr<serve::EngineService> service_;
  std::optional<serve::GenerationContext> context_;
  std::shared_ptr<serve::PageStreams> page_streams_;
  std::optional<asio::signal_set> signals_;  // made behind the fork: a child must not share its pipe
  asio::steady_timer watch_{io_};
  bool draining_ = false;
};

}  // namespace

int run_serve(const ServeFlags& flags) {
  signal(SIGXFSZ, SIG_IGN);  // a file at its size limit is an error of the log's, not our end
  // Before anything of our own is open.
  if (const Status status = serve::close_inherited_descriptors(); !status) return report_error(status.error());
  ServeRun run(flags);
  if (const Status status = run.open(); !status) return report_error(status.error());
  if (const Status status = run.run(); !status) return report_error(status.error());
  return kOk;
}

}  // namespace vitrine::cli
