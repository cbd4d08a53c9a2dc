// Records a real client against a real server on the loopback interface.
#include "capture/record/recorder.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "capture/record/local_programs.h"
#include "capture/record/process_flows.h"
#include "tests/capture/pipeline/run_input.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    path_ = testing::TempDir() + "vitrine-recorder-XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A port that nobody listens on.
uint16_t free_port() {
  const int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(bind(descriptor, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length), 0);
  close(descriptor);
  return ntohs(address.sin_port);
}

// `openssl s_server -HTTP` in a folder, on a port of its own choice; ends with
// the object.
class Server {
 public:
  explicit Server(const Folder& folder) {
    int said[2];
    if (pipe2(said, O_CLOEXEC) != 0) return;
    child_ = fork();
    if (child_ == 0) {
      if (chdir(folder.path().c_str()) != 0 || dup2(said[1], STDOUT_FILENO) < 0 ||
          freopen("/dev/null", "r+", stderr) == nullptr)
        _exit(1);
      execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "c.pem", "-key", "k.pem", "-HTTP",
             nullptr);
      _exit(127);
    }
    close(said[1]);
    said_ = fdopen(said[0], "r");
    char line[256];
    while (port == 0 && std::fgets(line, sizeof line, said_) != nullptr) {
      if (std::sscanf(line, "ACCEPT 127.0.0.1:%hu", &port) == 1) break;
    }
  }
  ~Server() {
    if (child_ > 0) kill(child_, SIGTERM);
    if (child_ > 0) waitpid(child_, nullptr, 0);
    if (said_ != nullptr) std::fclose(said_);
  }
  uint16_t port = 0;  // 0: it did not start

 private:
  pid_t child_ = 0;
  std::FILE* said_ = nullptr;
};

bool installed(const std::string& tool) {
  return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
}

TEST(Recorder, RecordsACommandWithItsSecretsAndProcesses) {
  if (!installed("openssl") || !installed("curl")) GTEST_SKIP() << "needs openssl and curl";
  Folder folder;
  ASSERT_EQ(
      std::system(("cd '" + folder.path() +
                   "' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem "
                   "-days 2 -subj /CN=recorder.test >/dev/null 2>&1")
                      .c_str()),
      0);
  // The page is a pipe that is filled when the recorder has seen whose the
  // connection is: processes are looked up by polling (process_flows.h), and this
  // test is not about how short a flow may be.
  ASSERT_EQ(mkfifo(folder.file("page").c_str(), 0600), 0);
  bool filled = false;
  const auto fill = [&](const RecordSummary& so_far) {
    if (filled || so_far.flows == 0) return;
    const int page = open(folder.file("page").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (page < 0) return;  // the server does not read it yet
    const std::string text =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\nConnection: close\r\n\r\nrecorded";
    filled = write(page, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(page);
  };
  const Server server(folder);
  ASSERT_NE(server.port, 0);
  RecordOptions options;
  options.interface = "lo";
  options.filter = "tcp port " + std::to_string(server.port);
  options.output = folder.file("out.pcapng");
  options.seconds = 120;  // never reached: the command ends when it has the page
  options.linger_seconds = 0.5;
  options.buffer_bytes = 4 << 20;
  options.comments = {"SIMULATED: recorder test"};
  options.command = {"curl",
                     "-sS",
                     "-k",
                     "--http1.1",
                     "--noproxy",
                     "*",
                     "-o",
                     "/dev/null",
                     "--max-time",
                     "100",
                     "--connect-to",
                     "recorder.test:443:127.0.0.1:" + std::to_string(server.port),
                     "https://recorder.test/page"};
  const Result<RecordSummary> summary = record(options, fill);
  if (!summary && summary.error().message.find("setcap") != std::string::npos) {
    GTEST_SKIP() << "capturing needs CAP_NET_RAW; the error says what to grant";
  }
  ASSERT_TRUE(summary) << summary.error().to_string();
  EXPECT_TRUE(WIFEXITED(summary->command_status));
  EXPECT_EQ(WEXITSTATUS(summary->command_status), 0);
  EXPECT_GT(summary->packets, 8u);
  EXPECT_GE(summary->secrets, 4u);  // TLS 1.3: two handshake, two traffic secrets
  EXPECT_EQ(summary->dropped_kernel, 0u);
  struct stat status {};
  ASSERT_EQ(stat(options.output.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_FALSE(fs::exists(options.output + ".partial"));

  const RunResult run = run_input(options.output);
  EXPECT_TRUE(run.summary.simulated());
  EXPECT_EQ(run.summary.packets, summary->packets);
  EXPECT_GE(run.summary.secrets, 4u);
  EXPECT_NE(run.text.find(" GET https://recorder.test/page"), std::string::npos) << run.text;
  EXPECT_NE(run.text.find("\n  recorded"), std::string::npos);
  size_t named = 0;
  for (const auto& [id, bytes] : run.connections) {
    if (bytes.sni != "recorder.test") continue;
    EXPECT_EQ(bytes.process, "curl");
    EXPECT_EQ(bytes.counts[0][Cause::no_key] + bytes.counts[1][Cause::no_key], 0u);
    ++named;
  }
  EXPECT_EQ(named, 1u);
  EXPECT_EQ(summary->flows, 1u);
}

// A full disk, as a bound on the size of files: what was recorded until then is kept.
TEST(Recorder, KeepsWhatTheDiskHadRoomFor) {
  if (!installed("python3")) GTEST_SKIP() << "needs python3";
  Folder folder;
  const uint16_t port = free_port();
  RecordOptions options;
  options.interface = "lo";
  options.filter = "udp port " + std::to_string(port);
  options.output = folder.file("out.pcapng");
  options.seconds = 30;
  options.linger_seconds = 0.2;
  options.buffer_bytes = 16 << 20;
  // 6 MB, in packets that nobody answers; and a key log.
  options.command = {"python3", "-c",
                     "import os,socket\n"
                     "open(os.environ['SSLKEYLOGFILE'],'w').write('CLIENT_RANDOM '+'ab'*32+' '+'cd'*48+'\\n')\n"
                     "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                     "for i in range(6000):\n"
                     "  try: s.sendto(b'x'*1000,('127.0.0.1'," +
                         std::to_string(port) +
                         "))\n"
                         "  except OSError: pass\n"};
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 2 << 20;
  const auto old = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result<RecordSummary> summary = record(options, {});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, old);
  if (!summary && summary.error().message.find("setcap") != std::string::npos)
    GTEST_SKIP() << "capturing needs CAP_NET_RAW";
  ASSERT_TRUE(summary) << summary.error().to_string();
  EXPECT_TRUE(summary->disk_full);
  EXPECT_GT(summary->packets, 500u);
  EXPECT_FALSE(fs::exists(options.output + ".partial"));
  EXPECT_LE(fs::file_size(options.output), 2u << 20);
  const RunResult run = run_input(options.output);
  EXPECT_EQ(run.summary.packets, summary->packets);
  EXPECT_EQ(run.summary.secrets, 1u);
}

TEST(Recorder, SaysWhatIsWrong) {
  Folder folder;
  RecordOptions options;
  options.interface = "no-such-if0";
  options.output = folder.file("out.pcapng");
  options.seconds = 1;
  Result<RecordSummary> summary = record(options, {});
  ASSERT_FALSE(summary);
  EXPECT_FALSE(summary.error().message.empty());
  EXPECT_FALSE(fs::exists(options.output));

  options.interface = "lo";
  options.output = folder.path();
  summary = record(options, {});
  ASSERT_FALSE(summary);
  if (summary.error().message.find("setcap") != std::string::npos) GTEST_SKIP() << "capturing needs CAP_NET_RAW";
  EXPECT_EQ(summary.error().code, ErrorCode::usage);
  options.output = folder.file("none/out.pcapng");
  summary = record(options, {});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().where, options.output);

  options.output = folder.file("out.pcapng");
  options.command = {"/no/such/program"};
  summary = record(options, {});
  ASSERT_FALSE(summary);
  if (summary.error().message.find("setcap") != std::string::npos) GTEST_SKIP() << "capturing needs CAP_NET_RAW";
  EXPECT_EQ(summary.error().code, ErrorCode::usage);
  EXPECT_NE(summary.error().to_string().find("/no/such/program"), std::string::npos);
  EXPECT_FALSE(fs::exists(options.output));
  EXPECT_FALSE(fs::exists(options.output + ".partial"));

  options.command.clear();
  options.filter = "this is no filter";
  summary = record(options, {});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::usage);
}

TEST(LocalPrograms, AreThoseThatHoldTheClientsEnds) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  socklen_t size = sizeof address;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const Endpoint server{IpAddress::parse("127.0.0.1"), ntohs(address.sin_port)};
  getsockname(client, reinterpret_cast<sockaddr*>(&address), &size);
  const Endpoint end{IpAddress::parse("127.0.0.1"), ntohs(address.sin_port)};
  const LocalConnection asked[] = {{server, server}, {end, server}, {end, end}};
  const LocalPrograms programs;
  // The kernel keeps 15 characters.
  EXPECT_THAT(programs.clients(asked), testing::ElementsAre("", "test_capture_re", ""));
  EXPECT_THAT(programs.clients({}), testing::IsEmpty());
  close(client);
  close(listener);
}

}  // namespace
}  // namespace vitrine
