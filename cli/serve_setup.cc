#include "cli/serve_setup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

namespace vitrine::cli {
namespace {

namespace fs = std::filesystem;
namespace asio = boost::asio;

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

}  // namespace

bool is_loopback(const std::string& address) {
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(address, error);
  return !error && ip.is_loopback();
}

Result<serve::ListenOptions> listen_options(const ServeFlags& flags) {
  auto listen = parse_listen(flags);
  if (!listen) return listen;
  if (const Status status = check_exposure(flags, *listen); !status) return tl::make_unexpected(status.error());
  return listen;
}

serve::ModelInfo describe_model(const ServeFlags& flags, const Engine& engine) {
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

Result<LoadedModel> load_model(const ServeFlags& flags) {
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

void Behind::append_metrics(std::string& out) const {
  serve::append_metric(out, "upstream_requests_total", "counter", "Requests passed on.",
                       static_cast<double>(gateway->forwarded()));
  serve::append_metric(out, "upstream_failures_total", "counter", "Without a whole answer.",
                       static_cast<double>(gateway->failed()));
}

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
  for (const auto& address : *addresses) out.addresses.insert(serve::to_text(address));
  auto connector = serve::Connector::start(io, std::move(*addresses));
  if (!connector) return tl::make_unexpected(connector.error());
  out.connector = std::move(*connector);
  auto gateway = serve::Gateway::create(io, *out.connector, std::move(*upstream), flags.upstream_ca);
  if (!gateway) return tl::make_unexpected(gateway.error());
  out.gateway = std::move(*gateway);
  return out;
}

}  // namespace vitrine::cli
