#include <fmt/format.h>

#include "base/digest.h"
#include "base/json_writer.h"
#include "capture/pipeline/replay.h"
#include "cli/commands.h"

namespace vitrine::cli {
namespace {

struct OriginFlags {
  InputFlags input;
  std::string id;
  bool json = false;
  bool show = false;
};

// A classic hex dump of at most `rows` lines.
void hex_dump(Bytes bytes, uint64_t base, size_t rows, std::string& out) {
  for (size_t at = 0; at < bytes.size() && at < rows * 16; at += 16) {
    fmt::format_to(std::back_inserter(out), "    {:08x} ", base + at);
    std::string text;
    for (size_t i = at; i < at + 16; ++i) {
      if (i >= bytes.size()) {
        out += "   ";
        continue;
      }
      fmt::format_to(std::back_inserter(out), " {:02x}", bytes[i]);
      text.push_back(bytes[i] >= 0x20 && bytes[i] < 0x7f ? static_cast<char>(bytes[i]) : '.');
    }
    fmt::format_to(std::back_inserter(out), "  {}\n", text);
  }
  if (bytes.size() > rows * 16) fmt::format_to(std::back_inserter(out), "    … {} bytes in all\n", bytes.size());
}

std::string preview(std::string_view text, bool show) {
  if (!show) return fmt::format("({} bytes; --show-values prints them)", text.size());
  std::string out;
  append_json_string(out, text.substr(0, 200));
  if (text.size() > 200) out += fmt::format(" … {} bytes in all", text.size());
  return out;
}

std::string render_text(const Replay& replay, Bytes file, bool show) {
  std::string out;
  const auto print = [&out](auto format, const auto&... arguments) {
    fmt::format_to(std::back_inserter(out), fmt::runtime(format), arguments...);
  };
  print("field      {}\n", replay.path);
  print("value      {}{}\n", preview(replay.value, show), replay.value_cut ? " (a prefix of what was sent)" : "");
  if (!replay.url.empty())
    print("exchange   {}  {} {}\n", replay.origin.exchange.to_string(), replay.method, replay.url);
  else
    print("connection {}  {} > {}\n", replay.origin.exchange.connection, replay.connection.client.to_string(),
          replay.connection.server.to_string());
  print("sent       {} {}\n\n", to_rfc3339(replay.time), to_string(replay.direction));
  if (!replay.recorded_from.empty()) {
    print("1. recorded from {}; it has no bytes of its own to replay\n", replay.recorded_from);
    return out;
  }
  print("1. {} bytes of the recording\n", replay.packets_complete ? "these" : "not all located:");
  constexpr size_t kShownPackets = 8;
  for (size_t i = 0; i < replay.packets.size() && i < kShownPackets; ++i) {
    const PacketBytes& p = replay.packets[i];
    if (p.packet != 0 && !replay.records.empty()) {
      print("  packet {}: {} bytes at file offset {} (stream offset {})\n", p.packet, p.length, p.file_offset,
            p.stream_offset);
    } else if (p.packet != 0) {
      print("  packet {}: {} bytes at file offset {}\n", p.packet, p.length, p.file_offset);
    } else print("  {} bytes at file offset {}\n", p.length, p.file_offset);
    if (const auto bytes = slice(file, p.file_offset, p.length)) hex_dump(*bytes, p.file_offset, 4, out);
  }
  if (replay.packets.size() > kShownPackets) print("  … {} runs in all\n", replay.packets.size());
  int number = 2;
  if (replay.connection.tls && !replay.records.empty() && !replay.pieces.empty()) {
    print("{}. tls: {} record(s), {}\n", number++, replay.records.size(), replay.connection.tls_info.cipher_name);
  }
  if (!replay.pieces.empty()) {
    print("{}. plaintext stream:", number++);
    for (size_t i = 0; i < replay.pieces.size() && i < 6; ++i)
      print(" [{}, +{}]", replay.pieces[i].offset, replay.pieces[i].length);
    print("{}\n", replay.pieces.size() > 6 ? " …" : "");
    if (show) hex_dump(as_bytes(replay.stream_bytes), replay.pieces.front().offset, 6, out);
  }
  for (const ReplayStep& step : replay.steps) {
    print("{}. {} [{}, +{}] -> {}\n", number++, step.decoder, step.offset, step.length,
          step.error.empty() ? preview(step.output, show) : "not replayed: " + step.error);
  }
  print("\n{}\n", replay.verified ? "replayed: the chain gives the field's value"
                                  : "NOT replayed: the chain does not give the field's value");
  return out;
}

std::string render_json(const Replay& replay, bool show) {
  std::string out;
  JsonWriter json(out);
  json.begin().key("origin").plain(replay.origin.to_string()).key("path").string(replay.path);
  json.key("direction").plain(to_string(replay.direction)).key("time").plain(to_rfc3339(replay.time));
  if (!replay.url.empty()) json.key("method").string(replay.method).key("url").string(replay.url);
  json.key("value_bytes").number(static_cast<uint64_t>(replay.value.size()));
  if (show) json.key("value").string(replay.value);
  json.key("packets").begin_array();
  for (const PacketBytes& p : replay.packets) {
    json.begin().key("packet").number(p.packet).key("file_offset").number(p.file_offset);
    json.key("length").number(p.length).key("stream_offset").number(p.stream_offset).end();
  }
  json.end_array().key("packets_complete").boolean(replay.packets_complete).key("tls").boolean(replay.connection.tls);
  json.key("pieces").begin_array();
  for (const StreamSpan& piece : replay.pieces)
    json.begin_array().number(piece.offset).number(piece.length).end_array();
  json.end_array().key("steps").begin_array();
  for (const ReplayStep& step : replay.steps) {
    json.begin()
        .key("decoder")
        .string(step.decoder)
        .key("offset")
        .number(step.offset)
        .key("length")
        .number(step.length);
    json.key("output_bytes").number(static_cast<uint64_t>(step.output.size()));
    if (show) json.key("output").string(step.output);
    if (!step.error.empty()) json.key("error").string(step.error);
    json.end();
  }
  json.end_array().key("verified").boolean(replay.verified);
  if (!replay.recorded_from.empty()) json.key("recorded_from").string(replay.recorded_from);
  json.end();
  return out + "\n";
}

int run(const OriginFlags& flags) {
  OriginRef origin;
  if (!OriginRef::parse(flags.id, origin)) {
    return report_error({ErrorCode::usage, "not an origin id; they look like 1204.3:17", flags.id});
  }
  IssueLog issues;
  Result<Input> input = Input::open(flags.input.paths.front(), flags.input.options(), issues);
  if (!input) return report_error(input.error());
  const Result<Replay> replay = replay_origin(*input, origin);
  if (!replay) return report_error(replay.error());
  const std::string text =
      flags.json ? render_json(*replay, flags.show) : render_text(*replay, input->bytes(), flags.show);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return replay->verified || !replay->recorded_from.empty() ? kOk : kInternal;
}

}  // namespace

void add_origin(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("origin", "follow one value back to the packet bytes it came from");
  auto flags = std::make_shared<OriginFlags>();
  command->add_option("id", flags->id, "origin id, as printed by `vitrine fields` and in reports: 1204.3:17")
      ->required();
  flags->input.add_to(*command, false);
  command->add_flag("--json", flags->json, "as JSON");
  command->add_flag("--show-values", flags->show, "print values and plaintext (they may be secrets)");
  command->footer("Example:\n  vitrine origin 1204.3:17 visit.pcapng --show-values");
  command->callback([=, &exit_code] { exit_code = run(*flags); });
}

}  // namespace vitrine::cli
