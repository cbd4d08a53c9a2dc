#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "cli/commands.h"

namespace vitrine::cli {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::usage: return kUsage;
    case ErrorCode::unreadable:
    case ErrorCode::malformed:
    case ErrorCode::unsupported:
    case ErrorCode::limit: return kUnreadable;
    case ErrorCode::internal: return kInternal;
  }
  return kInternal;
}

int report_error(const Error& error) {
  std::fprintf(stderr, "vitrine: %s\n", error.to_string().c_str());
  return exit_code_of(error);
}

bool shows_colour(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(descriptor) && (no_color == nullptr || *no_color == '\0');
}

void InputFlags::add_to(CLI::App& command, bool many) {
  auto* option = command
                     .add_option("input", paths,
                                 many ? "recordings: pcap, pcapng, HAR, exchange log; .gz of either"
                                      : "recording: pcap, pcapng, HAR, exchange log; .gz of either")
                     ->required();
  if (!many) option->expected(1);
  command
      .add_option("--keylog", key_logs, "TLS key log (SSLKEYLOGFILE) besides the secrets in the recording; repeatable")
      ->type_name("FILE");
  command.add_option("--threads", threads,
                     "shards to read with; output is the same at any number (default: all cores)");
  command.add_flag("--ignore-embedded-secrets", ignore_embedded_secrets,
                   "do not use TLS secrets stored in the recording: see what an observer without keys sees");
  command.add_flag("-q,--quiet", quiet, "no progress, no warnings");
}

InputOptions InputFlags::options() const {
  InputOptions out;
  out.key_logs = key_logs;
  out.threads = threads != 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
  out.ignore_embedded_secrets = ignore_embedded_secrets;
  return out;
}

ProgressBar::ProgressBar(std::string title, bool quiet, std::string unit, double per_unit)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      per_unit_(per_unit),
      enabled_(!quiet && isatty(STDERR_FILENO)),
      start_(seconds_now()) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

void ProgressBar::update(uint64_t done, uint64_t total) {
  if (!enabled_ || total == 0) return;
  const double now = seconds_now();
  if (now - start_ < 1.0 || now - last_ < 0.1) return;
  last_ = now;
  drawn_ = true;
  constexpr int kWidth = 30;
  const double fraction = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const int filled = static_cast<int>(fraction * kWidth);
  const double rate = static_cast<double>(done) / per_unit_ / (now - start_);
  std::fprintf(stderr, "\r\033[K%s [%s%s] %3.0f %%  %.0f %s", title_.c_str(), std::string(filled, '#').c_str(),
               std::string(kWidth - filled, '.').c_str(), fraction * 100, rate, unit_.c_str());
}

void print_issues(const IssueLog& issues, const std::string& path, bool quiet) {
  if (quiet) return;
  constexpr size_t kRows = 20;
  const auto rows = issues.rows();
  for (size_t i = 0; i < rows.size() && i < kRows; ++i) {
    const CountedIssue& row = rows[i];
    std::string where = path;
    if (row.first.packet != 0) where += ", packet " + std::to_string(row.first.packet);
    std::fprintf(stderr, "vitrine: warning: %s: %s (%s%s)\n", where.c_str(), row.first.what.c_str(),
                 std::string(to_string(row.first.cause)).c_str(),
                 row.count > 1 ? (", " + std::to_string(row.count) + " times").c_str() : "");
  }
  if (rows.size() > kRows)
    std::fprintf(stderr, "vitrine: warning: %s: %zu further kinds\n", path.c_str(), rows.size() - kRows);
}

Result<std::string> data_folder(const std::string& from_flag) {
  namespace fs = std::filesystem;
  std::vector<std::string> candidates;
  if (!from_flag.empty()) candidates.push_back(from_flag);
  if (const char* environment = std::getenv("VITRINE_DATA");
      from_flag.empty() && environment != nullptr && *environment) {
    candidates.push_back(environment);
  }
  if (candidates.empty()) {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
    candidates.push_back((program / "../share/vitrine").lexically_normal().string());
    candidates.push_back(VITRINE_SOURCE_DIR);
  }
  for (const std::string& candidate : candidates) {
    std::error_code error;
    if (fs::exists(fs::path(candidate) / "policies" / "taxonomy.yaml", error)) return candidate;
  }
  return fail(ErrorCode::usage, "no policies/taxonomy.yaml there: name the folder that holds policies/ with --data",
              candidates.front());
}

}  // namespace vitrine::cli
