// `vitrine serve`: a local model for any OpenAI or Ollama client, everything a client transmits on record.
#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <filesystem>

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/field_line.h"
#include "cli/model_flags.h"
#include "serve/gateway.h"
#include "serve/lockdown.h"
#include "serve/model_routes.h"
#include "serve/page/page_routes.h"
#include "serve/tap_observer.h"

namespace vitrine::cli {
namespace {

namespace fs = std::filesystem;
namespace asio = boost::asio;

struct ServeFlags {
  ModelFlags model;
  std::string listen = "127.0.0.1:11434";
  std::string certificate, key;
  std::string key_file;
  bool insecure = false;
  std::vector<std::string> hosts, origins, aliases;
  std::string name, chat_template;
  int64_t sequences = 8, cache_tokens = 0, step_tokens = 256;
  size_t waiting = 256, connections = 4096;
  uint64_t body_mb = 32;
  std::string tap, tap_content = "full";
  bool tap_append = false;
  std::string padding = "auto";
  bool no_lockdown = false;
  std::string upstream, upstream_key, upstream_ca;
  std::string config;  // read before the command line is, by with_config()
  bool no_page = false;
};

constexpr size_t kRecordBytes = 1024;

// "127.0.0.1:11434", "[::1]:80", "8080" (loopback).
Result<serve::ListenOptions> parse_listen(const ServeFlags& flags) {
  serve::ListenOptions out;
  std::string_view text = flags.listen;
  std::string_view port = text;
  if (const size_t colon = text.rfind(':'); colon != text.npos) {
    port = text.substr(colon + 1);
    text = text.substr(0, colon);
    if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
    out.address = std::string(text);
  }
  const auto read = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (read.ec != std::errc() || read.ptr != port.data() + port.size()) {
    return fail(ErrorCode::usage, "--listen takes ADDRESS:PORT, as in 127.0.0.1:11434 or [::1]:8080");
  }
  out.certificate = flags.certificate;
  out.key = flags.key;
  out.connections = static_cast<uint32_t>(flags.connections);
  out.bounds.body_bytes = flags.body_mb << 20;
  out.bounds.bodies_bytes = std::max<uint64_t>(out.bounds.bodies_bytes, out.bounds.body_bytes);
  return out;
}

bool is_loopback(const std::string& address) {
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(address, error);
  return !error && ip.is_loopback();
}

// What a client may call a model by: letters, digits, '.', '_', '-'.
std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const char lower = ascii_lower(c);
    const bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || lower == '.' || lower == '_';
    if (plain) {
      out += lower;
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (out.ends_with('-')) out.pop_back();
  return out;
}

serve::ModelInfo describe(const ServeFlags& flags, const Engine& engine) {
  serve::ModelInfo info;
  info.path = flags.model.path;
  info.name = flags.name;
  if (info.name.empty()) info.name = slug(engine.config().name);
  if (info.name.empty()) info.name = slug(fs::path(info.path).stem().string());
  if (info.name.empty()) info.name = "model";
  info.aliases = flags.aliases;
  info.version = VITRINE_VERSION;
  std::error_code ignored;
  const auto time = fs::last_write_time(info.path, ignored);
  if (!ignored) {
    info.modified =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::file_clock::to_sys(time).time_since_epoch())
            .count();
  }
  std::map<std::string, uint64_t> types;
  if (const GgufModel* gguf = engine.weights().gguf()) {
    for (const GgufTensor& tensor : gguf->tensors()) {
      info.bytes += tensor.bytes;
      types[std::string(tensor.type.name)] += tensor.bytes;
    }
  } else if (const SafetensorsModel* files = engine.weights().safetensors()) {
    for (const SafetensorsTensor& tensor : files->tensors()) {
      info.bytes += tensor.bytes;
      types[std::string(safetensors_type_name(tensor.type))] += tensor.bytes;
    }
  }
  uint64_t most = 0;
  for (const auto& [type, bytes] : types) {
    if (bytes <= most) continue;
    most = bytes;
    info.quantization = type;
  }
  info.digest = to_hex(sha256(as_bytes(fmt::format("{}\n{}\n{}", info.name, info.bytes, info.modified))));
  return info;
}

Result<std::vector<serve::ApiKey>> load_keys(const std::string& path) {
  if (path.empty()) return std::vector<serve::ApiKey>();
  auto text = read_file(path, 1 << 20);
  if (!text) return tl::make_unexpected(text.error());
  auto keys = serve::parse_keys(*text, path);
  if (keys && keys->empty()) return fail(ErrorCode::usage, "holds no key", path);
  return keys;
}

Status check_exposure(const ServeFlags& flags, const serve::ListenOptions& listen) {
  if (is_loopback(listen.address) || flags.insecure) return {};
  if (flags.key_file.empty()) {
    return fail(ErrorCode::usage,
                "other machines can reach " + listen.address + ": give --api-keys FILE (or --insecure, knowing why)");
  }
  if (flags.certificate.empty()) {
    return fail(ErrorCode::usage,
                "other machines can reach " + listen.address +
                    ": give --tls-cert and --tls-key, so that keys and prompts are not sent in the clear "
                    "(or --insecure, behind a proxy that does TLS)");
  }
  return {};
}

Result<LoadedModel> load(const ServeFlags& flags) {
  EngineOptions options;
  options.sequences = flags.sequences;
  options.step_tokens = std::max(flags.step_tokens, flags.sequences);
  options.kept_sequences = 64;
  options.zero_freed_pages = true;
  options.cache_tokens = flags.cache_tokens;
  options.cache_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) / 4;
  if (!flags.chat_template.empty()) {
    auto source = read_file(flags.chat_template, 1 << 20);
    if (!source) return tl::make_unexpected(source.error());
    options.chat_template = std::move(*source);
  }
  return flags.model.load(options);
}

// An engine elsewhere.
struct Behind {
  std::unique_ptr<serve::Connector> connector;
  std::unique_ptr<serve::Gateway> gateway;

  std::function<std::string()> metrics() const {
    return [gateway = gateway.get()] {
      return fmt::format(
          "# HELP vitrine_upstream_requests_total Requests passed on.\n# TYPE vitrine_upstream_requests_total counter\n"
          "vitrine_upstream_requests_total {}\n# HELP vitrine_upstream_failures_total Without a whole answer.\n"
          "# TYPE vitrine_upstream_failures_total counter\nvitrine_upstream_failures_total {}\n",
          gateway->forwarded(), gateway->failed());
    };
  }
};

Result<Behind> open_upstream(const ServeFlags& flags, asio::io_context& io) {
  auto upstream = serve::parse_upstream(flags.upstream);
  if (!upstream) return tl::make_unexpected(upstream.error());
  if (!flags.upstream_key.empty()) {
    auto key = read_file(flags.upstream_key, 1 << 16);
    if (!key) return tl::make_unexpected(key.error());
    upstream->key = std::string(trim(*key));
  }
  auto addresses = serve::resolve(*upstream);
  if (!addresses) return tl::make_unexpected(addresses.error());
  Behind out;
  auto connector = serve::Connector::start(io, std::move(*addresses));
  if (!connector) return tl::make_unexpected(connector.error());
  out.connector = std::move(*connector);
  auto gateway = serve::Gateway::create(io, *out.connector, std::move(*upstream), flags.upstream_ca);
  if (!gateway) return tl::make_unexpected(gateway.error());
  out.gateway = std::move(*gateway);
  return out;
}

int serve_model(const ServeFlags& flags) {
  if (flags.model.path.empty() == flags.upstream.empty()) {
    return report_error({ErrorCode::usage, "give one of --model FILE and --upstream URL", {}});
  }
  if (const Status status = serve::close_inherited_descriptors(); !status) return report_error(status.error());
  const auto listen = parse_listen(flags);
  if (!listen) return report_error(listen.error());
  if (const Status status = check_exposure(flags, *listen); !status) return report_error(status.error());
  auto keys = load_keys(flags.key_file);
  if (!keys) return report_error(keys.error());
  asio::io_context io(1);
  // The process that reaches the engine elsewhere is made before any thread is.
  std::optional<Behind> behind;
  LoadedModel loaded;
  serve::ModelInfo model;
  if (!flags.upstream.empty()) {
    auto opened = open_upstream(flags, io);
    if (!opened) return report_error(opened.error());
    behind.emplace(std::move(*opened));
    model.name = flags.upstream;
  } else {
    auto opened = load(flags);
    if (!opened) return report_error(opened.error());
    loaded = std::move(*opened);
    model = describe(flags, *loaded.engine);
  }

  std::unique_ptr<Tap> tap;
  std::unique_ptr<serve::TapObserver> observer;
  if (!flags.tap.empty() || !flags.no_page) {
    TapOptions options;
    options.path = flags.tap;
    options.append = flags.tap_append;
    options.content = *parse_tap_content(flags.tap_content);
    if (flags.tap.empty()) {  // for the page alone: nothing touches the disk
      options.http.body_bytes = options.http.body_memory = listen->bounds.body_bytes;
    }
    options.comment = "vitrine serve " VITRINE_VERSION ", model " + model.name;
    options.on_trouble = [](std::string_view what) {
      fmt::print(stderr, "vitrine: tap: {}\n", what.empty() ? "writes again" : what);
    };
    auto opened = Tap::open(std::move(options));
    if (!opened) return report_error(opened.error());
    tap = std::move(*opened);
    observer = std::make_unique<serve::TapObserver>(*tap);
  }

  std::unique_ptr<Knowledge> knowledge;
  std::unique_ptr<serve::Glass> glass;
  std::unique_ptr<serve::ConnectionWatch> connections;
  if (!flags.no_page) {
    const auto data = data_folder({});
    if (!data) return report_error(data.error());
    auto known = load_knowledge(*data, {});
    if (!known) return report_error(known.error());
    knowledge = std::move(*known);
    glass = std::make_unique<serve::Glass>(*knowledge);
    tap->subscribe(*glass);
    connections = std::make_unique<serve::ConnectionWatch>();
  }

  serve::Access access({std::move(*keys), flags.hosts, flags.origins});
  serve::Router router(access);
  auto server = serve::HttpServer::open(
      io, *listen,
      [&](serve::HttpRequest request, std::shared_ptr<serve::Responder> responder) {
        router.handle(std::move(request), std::move(responder));
      },
      observer.get());
  if (!server) return report_error(server.error());
  const serve::HttpServer* listening = server->get();

  asio::thread_pool workers(1);
  serve::ServiceLimits limits;
  limits.sequences = flags.sequences;
  limits.waiting = flags.waiting;
  limits.waiting_per_owner = access.asks_keys() ? std::max<size_t>(1, flags.waiting / 4) : flags.waiting;
  std::unique_ptr<serve::EngineService> service;
  std::optional<serve::GenerationContext> context;
  if (behind) {
    behind->gateway->add_routes(router, access.asks_keys());
  } else {
    service = std::make_unique<serve::EngineService>(*loaded.engine, limits);
    context.emplace(serve::GenerationContext{io, workers, *loaded.engine, *service});
    const bool pads = flags.padding == "on" || (flags.padding == "auto" && !is_loopback(listen->address));
    if (pads) context->record_bytes = kRecordBytes;
    serve::add_model_routes(router, *context, model);
  }
  serve::add_service_routes(router, service.get(), listening, behind ? behind->metrics() : nullptr);
  std::shared_ptr<serve::PageStreams> page_streams;
  if (!flags.no_page) {
    page_streams = serve::add_page_routes(
        router, {io, *glass, *connections, [&](uint64_t connection) { return observer->tap_id(connection); },
                 [&] { return access.asks_keys(); }, flags.tap.empty() ? "" : flags.tap_content, VITRINE_VERSION,
                 !flags.no_lockdown && !behind});
  }

  asio::signal_set signals(io, SIGINT, SIGTERM, SIGHUP);
  bool draining = false;
  std::function<void(boost::system::error_code, int)> on_signal = [&](boost::system::error_code error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      auto again = load_keys(flags.key_file);
      if (again) {
        access.set_keys(std::move(*again));
      } else {
        fmt::print(stderr, "vitrine: keys were not reloaded: {}\n", again.error().to_string());
      }
    } else if (draining) {
      (*server)->close();
      io.stop();
      return;
    } else {
      draining = true;
      if (!flags.model.quiet) fmt::print(stderr, "finishing what is under way; again to cut it short\n");
      (*server)->drain();
      if (page_streams) page_streams->end();
    }
    signals.async_wait(on_signal);
  };
  signals.async_wait(on_signal);
  // The loop ends when a drained server has no connection left.
  asio::steady_timer watch(io);
  std::function<void(boost::system::error_code)> look = [&](boost::system::error_code) {
    if (draining && (*server)->stats().open == 0) return io.stop();
    watch.expires_after(std::chrono::milliseconds(50));
    watch.async_wait(look);
  };
  look({});

  if (!flags.no_lockdown) {
    if (const Status status = serve::lock_down(); !status) {
      Error error = status.error();
      error.message += "; --no-lockdown serves without the lock";
      return report_error(error);
    }
  }

  if (!flags.model.quiet) {
    const bool v6 = listen->address.find(':') != std::string::npos;
    fmt::print(stderr, "{} on {}://{}{}{}:{}  ", behind ? "gateway" : model.name, (*server)->tls() ? "https" : "http",
               v6 ? "[" : "", listen->address, v6 ? "]" : "", (*server)->port());
    if (behind) {
      fmt::print(stderr, "(passed on to {})\n", flags.upstream);
    } else {
      fmt::print(stderr, "({} sequences, {} tokens of context, {})\n", flags.sequences, loaded.engine->context(),
                 loaded.ops->description());
    }
    fmt::print(stderr, "{}\n",
               !serve::locked_down() ? "NOT locked: this process could open connections"
               : behind              ? "locked: this process reaches that address alone, and can start no program"
                                     : "locked: this process can open no connection and start no program");
    if (!flags.tap.empty()) fmt::print(stderr, "every exchange goes to {} ({})\n", flags.tap, flags.tap_content);
  }
  io.run();
  (*server)->close();
  workers.join();
  if (tap) {
    observer.reset();
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    const Status status = tap->close({std::chrono::duration_cast<std::chrono::nanoseconds>(since).count()});
    if (!status) return report_error(status.error());
  }
  return kOk;
}

}  // namespace

std::vector<std::string> with_config(std::vector<std::string> arguments) {
  if (arguments.empty() || arguments.front() != "serve") return arguments;
  std::string path;
  for (size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) path = arguments[i + 1];
    if (arguments[i].starts_with("--config=")) path = arguments[i].substr(9);
  }
  if (path.empty()) return arguments;
  const auto given = [&](const std::string& name) {
    return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
      return argument == "--" + name || argument.starts_with("--" + name + "=") ||
             (name == "model" && argument.starts_with("-m"));
    });
  };
  std::vector<std::string> from_file;
  for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(path)) {
    if (given(item.name)) continue;
    for (const std::string& value : item.inputs) from_file.push_back("--" + item.name + "=" + value);
  }
  arguments.insert(arguments.end(), from_file.begin(), from_file.end());
  return arguments;
}

void add_serve(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "a local model for any OpenAI or Ollama client");
  flags->model.add_to(*command);
  command->get_option("--model")->required(false);
  command
      ->add_option("--upstream", flags->upstream,
                   "an engine elsewhere in place of a model here: tap, keys and page in front of it")
      ->type_name("URL");
  command->add_option("--upstream-key", flags->upstream_key, "file with the key it asks for; clients' keys stay here")
      ->type_name("FILE");
  command
      ->add_option("--upstream-ca", flags->upstream_ca,
                   "PEM certificates that https is checked against (default: the system's)")
      ->type_name("FILE");
  command->add_option("--listen", flags->listen, "address and port; port 0: any free one")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  command->add_option("--name", flags->name, "what clients call the model (default: from the file)");
  command->add_option("--alias", flags->aliases, "another name for it; repeatable");
  command->add_option("--chat-template", flags->chat_template, "Jinja file in place of the model's own")
      ->type_name("FILE");
  command->add_option("--sequences", flags->sequences, "answers computed at the same time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--cache-tokens", flags->cache_tokens,
                   "room for all sequences together (default: a context for each, within a quarter of the memory)")
      ->check(CLI::PositiveNumber);
  command->add_option("--step-tokens", flags->step_tokens, "prompts are read in chunks of at most this")
      ->check(CLI::Range(16, 8192))
      ->capture_default_str();
  command->add_option("--queue", flags->waiting, "requests that may wait; more are told to come back (429)")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--connections", flags->connections, "open at a time")
      ->check(CLI::Range(1, 60000))
      ->capture_default_str();
  command->add_option("--max-body", flags->body_mb, "MiB of one request")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--api-keys", flags->key_file, "file with one \"NAME KEY\" a line; SIGHUP reads it again")
      ->type_name("FILE");
  command->add_option("--tls-cert", flags->certificate, "PEM certificate chain")->type_name("FILE");
  command->add_option("--tls-key", flags->key, "its PEM key")->type_name("FILE");
  command->add_flag("--insecure", flags->insecure, "listen beyond this machine without keys or TLS");
  command->add_option("--allow-host", flags->hosts, "a name this server goes by; repeatable");
  command->add_option("--allow-origin", flags->origins,
                      "a page elsewhere that may call, as https://app.example; repeatable");
  command->add_option("--tap", flags->tap, "exchange log of everything clients transmit, for vitrine audit")
      ->type_name("FILE");
  command->add_option("--tap-content", flags->tap_content, "how much of prompts and answers it keeps")
      ->check(CLI::IsMember({"none", "hash", "full"}))
      ->capture_default_str();
  command->add_flag("--tap-append", flags->tap_append, "go on with a log that is there");
  command->add_option("--padding", flags->padding, "streams in records of one size, so that token lengths do not show")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command->add_flag("--no-lockdown", flags->no_lockdown,
                    "without the filter that keeps this process from connecting anywhere");
  command->add_flag("--no-page", flags->no_page, "no page at / (and, without --tap, no tap)");
  command->footer(
      "Examples:\n"
      "  vitrine serve -m model.gguf --tap tap.ndjson\n"
      "  curl http://127.0.0.1:11434/v1/models\n"
      "  OLLAMA_HOST=127.0.0.1:11434 ollama run NAME\n"
      "  vitrine audit tap.ndjson --rules no-egress\n"
      "  vitrine serve --upstream http://gpu.internal:8000 --api-keys keys.txt --tap tap.ndjson\n"
      "Ctrl-C finishes what is under way; a second one cuts it short. SIGHUP reads --api-keys again.\n"
      "Loopback unless --listen says otherwise; other addresses need --api-keys and TLS.");
  command
      ->add_option("--config", flags->config,
                   "TOML file with any of these options by its long name; what the command line says wins")
      ->type_name("FILE");
  command->callback([flags, &exit_code] { exit_code = serve_model(*flags); });
}

}  // namespace vitrine::cli
