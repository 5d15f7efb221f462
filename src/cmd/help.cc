#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "flow/features_doc.h"

namespace nidus::cmd {
namespace {

constexpr Verb kVerbs[] = {
    {"detect", "captures and tables to verdicts and a summary: which flows are attacks?", "nidus"},
    {"flows", "captures to flow records with features", "nidus"},
    {"train", "a detector from labelled captures or tables", "nidus-learn"},
    {"evaluate", "a detector measured on labelled captures or tables", "nidus-learn"},
    {"explain", "which features a detector goes by, on captures or tables", "nidus-learn"},
    {"calibrate", "a detector's line drawn again on your own site's traffic", "nidus-learn"},
    {"drift", "do rows still look as a detector knows them?", "nidus"},
    {"import", "model files of scikit-learn, XGBoost, Keras, PyTorch, ONNX … to a detector", "nidus"},
    {"export", "a detector to ONNX or XGBoost JSON", "nidus"},
    {"serve", "judges flows for others, over HTTP", "nidus-serve"},
    {"alerts", "what `nidus serve` found: list, show, triage, export", "nidus-serve"},
    {"keys", "who may ask `nidus serve`: create, list, revoke, rotate", "nidus-serve"},
    {"inspect", "what is in a capture, table, detector or model file", "nidus"},
    {"help", "this list, one verb, or a topic", "nidus"},
    {"version", "which nidus this is", "nidus"},
};

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_features() { print(flow::features_markdown()); }

void print_exit() {
  print(
      "0    fine\n"
      "1    failed: the system refused, or a limit was reached\n"
      "2    usage: the command line makes no sense\n"
      "3    bad input: a file is missing, broken or not what it should be; what was good before it was used\n"
      "10   detect --fail-on-alert found an attack, drift --fail-on-drift found that rows have drifted\n"
      "130  interrupted; what had been counted until then was printed\n");
}

void print_labels() {
  print(
      "A label file is a CSV table. Each line is a rule about flows of one capture:\n\n"
      "  capture,from,to,a,a_port,b,b_port,protocol,label,attack,group\n\n"
      "  capture        the capture's file name, without folders\n"
      "  from, to       the flow's start lies between them: seconds since 1970, both included\n"
      "  a, b           an address or network of either end; one end matches a and a_port, the other b and "
      "b_port\n"
      "  protocol       tcp, udp, icmp (also ICMPv6), or a number\n"
      "  label          the class: benign, port_scan, ...\n"
      "  attack         more exactly which one, for the figures; may be blank\n"
      "  group          flows of one group stay on one side of a split; blank: the capture\n\n"
      "A blank cell matches everything. The first rule in the order of the file that matches is the flow's; "
      "a flow\n"
      "without a rule is left out.\n");
}

struct Topic {
  std::string_view name, summary;
  void (*print)();
};

constexpr Topic kTopics[] = {
    {"features", "every feature of a flow, its unit and its names elsewhere", print_features},
    {"labels", "the file that says which flows of a capture are what", print_labels},
    {"exit", "what the program answers", print_exit},
};

std::string overview() {
  std::string text = "nidus finds attacks in network traffic.\n\n  nidus VERB ...\n\n";
  for (const Verb& verb : kVerbs) text += fmt::format("  {:<10} {}\n", verb.name, verb.summary);
  text += "\nEach verb has --help. Topics of 'nidus help':\n\n";
  for (const Topic& topic : kTopics) text += fmt::format("  {:<10} {}\n", topic.name, topic.summary);
  return text;
}

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

int run_help(std::span<const std::string> words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    print(overview());
    return kFine;
  }
  std::vector<std::string> names;
  for (const Topic& topic : kTopics) {
    if (words[0] == topic.name) {
      topic.print();
      return kFine;
    }
    names.emplace_back(topic.name);
  }
  for (const Verb& verb : kVerbs) names.emplace_back(verb.name);
  return complain_usage("", fmt::format("no help on '{}'{}", words[0], did_you_mean(words[0], names)));
}

int run_version(std::span<const std::string>) {
  print("nidus " NIDUS_VERSION "\n");
  return kFine;
}

}  // namespace nidus::cmd
