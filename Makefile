# teeny's build: GNU make, a C++20 compiler, and nothing else. `make` alone lists the targets.
#
# What can be chosen on the command line, as in `make BACKEND=reference test`; each configuration has its own folder:
#   BACKEND=cpu|reference|cuda         which folder of tinyops/ is the device
#   ARCH=native|x86-64-v3|...          which processor to compile for: the compiler's -march
#   CUDA_ARCH='75 80 90'               which GPUs: their compute capabilities (default: this machine's, or these three)
#   RANKS=alone|mpi|nccl               what connects the processes of one program; NP=4 starts so many of it
#   EMULATE=1                          with BACKEND=cuda: the same kernels on the CPU, slow and with every access checked
#   SAN=address,undefined|thread       sanitizers (with clang), and every access checked; on a GPU NVIDIA's:
#       memcheck|racecheck|initcheck|synccheck
#   WERROR=1                           warnings are errors
#   WASM=1                             with book: its pages that can be played with, too (packages emscripten graphviz)
#   ARGS='--epochs 3'                  options for the program a target runs
#   CXX=clang++-16  CXXFLAGS=-g  V=1   another compiler, more flags, show the commands
BACKEND ?= cpu
ARCH    ?= native
RANKS   ?= $(if $(filter ranks-test,$(MAKECMDGOALS)),mpi,alone)
PREFIX  ?= /usr/local
FUZZ    ?= 2000
MUTATIONS ?= 100000
EMULATE ?=

PACKAGES := g++ make libeigen3-dev doctest-dev nlohmann-json3-dev zlib1g-dev libcli11-dev libpng-dev
# MPI_PC=mpich takes another MPI than the system's first one: the name of its file for pkg-config.
MPI_PC   ?= mpi
ifneq (alone,$(RANKS))
  no_mpi := $(shell pkg-config --exists $(MPI_PC) 2> /dev/null || echo none)
  PACKAGES += $(if $(no_mpi),pkg-config $(if $(filter mpich,$(MPI_PC)),mpich libmpich-dev,openmpi-bin libopenmpi-dev))
endif
EXAMPLES := mnist beautiful_mnist teenygrad_mnist linear_regression two_moons gpt gpt2 resnet

# All cores at once. A -j on the command line comes before this one, and a make that another one started shares its jobs.
ifeq (0,$(MAKELEVEL))
  MAKEFLAGS += -j$(or $(shell nproc 2> /dev/null),1)
endif

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help deps examples test ranks-test test-all sanitize-cuda cuda-report bench bench-compare bench-sweep bench-growth layers house tour notes try book format loc clean \
  install teeny run onnx-test libteeny_program.so test-program again FORCE $(EXAMPLES) course start check watch hint skip solve grade handout gradescope prove
comma := ,
empty :=
space := $(empty) $(empty)
quote  = '$(subst ','\'',$1)'#   one word for the shell
differ = $(if $(and $(findstring |$(1)|,|$(2)|),$(findstring |$(2)|,|$(1)|)),,yes)

help: ## this list
	@echo 'make TARGET [BACKEND=cpu|reference|cuda [EMULATE=1]] [RANKS=alone|mpi|nccl [NP=4]] [ARCH=native] [SAN=address,undefined|thread] [WERROR=1] [ARGS=...]'
	@awk -F ':.*## ' '/^[a-z0-9_.-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

deps: ## install what the build needs, with apt (Debian, Ubuntu)
	@command -v dpkg-query > /dev/null || { echo 'make deps knows only apt; install these by hand: $(PACKAGES)' >&2; exit 1; }
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2> /dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "installing:$$missing"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	[ -z "$$sudo" ] || command -v sudo > /dev/null || { echo 'deps: neither root nor sudo; ask someone who is' >&2; exit 1; }; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing

clean: ## remove everything that was built; what `make course` remembers stays
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name course -exec rm -rf {} +
	rm -f compile_commands.json

# `make -j deps clean test`: those two come first and alone, and only then a new make looks at what is there.
first := $(filter deps clean,$(MAKECMDGOALS))
rest  := $(filter-out deps clean,$(MAKECMDGOALS))
ifneq (,$(and $(first),$(rest)))
again: $(first)
	+@$(MAKE) --no-print-directory $(rest)
$(rest): again ; @:
else

# ---- The configuration ----------------------------------------------------------------------------------------------

ifeq (,$(filter cpu reference cuda,$(BACKEND)))
  $(error BACKEND=$(BACKEND): unknown; use cpu, reference or cuda)
endif

emulated := $(if $(filter-out 0,$(EMULATE)),emulated)
ifneq (,$(if $(filter cuda,$(BACKEND)),,$(emulated)))
  $(error EMULATE=1 emulates a GPU for BACKEND=cuda; with BACKEND=$(BACKEND) it means nothing)
endif
on_gpu := $(if $(emulated),,$(filter cuda,$(BACKEND)))

ifdef on_gpu
  NVCC ?= $(firstword $(shell command -v nvcc 2> /dev/null) $(wildcard $(or $(CUDA_HOME),/usr/local/cuda)/bin/nvcc))
  ifeq (,$(NVCC))
    $(error BACKEND=cuda: there is no nvcc; install the CUDA toolkit, 12.1 or later, or set CUDA_HOME, or run the kernels on \
      the CPU with EMULATE=1)
  endif
  nvcc_version := $(shell $(NVCC) --version 2> /dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')
  ifneq (12.1,$(shell printf '%s\n' 12.1 $(or $(nvcc_version),0) | sort -V | head -n 1))
    $(error BACKEND=cuda: $(NVCC) $(if $(nvcc_version),is version $(nvcc_version); 12.1 is the first that will do,cannot be run))
  endif
  CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(shell command -v $(NVCC))))
  # A GPU newer than this nvcc runs what is compiled for the newest one that it knows.
  known_gpus := $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch))
  here := $(sort $(subst .,,$(shell nvidia-smi --query-gpu=compute_cap --format=csv$(comma)noheader 2> /dev/null)))
  CUDA_ARCH ?= $(or $(filter $(known_gpus),$(here)),$(filter $(known_gpus),75 80 90))
  ifneq (,$(or $(filter-out $(known_gpus),$(CUDA_ARCH)),$(if $(strip $(CUDA_ARCH)),,none)))
    $(error CUDA_ARCH='$(CUDA_ARCH)': nvcc $(nvcc_version) knows $(known_gpus))
  endif
  newest := $(shell printf '%s\n' $(CUDA_ARCH) | sort -n | tail -n 1)
endif

gpu_tools  := memcheck racecheck initcheck synccheck
sanitizers := $(subst $(comma), ,$(SAN))
ifneq (,$(filter-out address undefined thread $(gpu_tools),$(sanitizers)))
  $(error SAN=$(SAN): unknown; use address, undefined, address$(comma)undefined or thread, or one of $(gpu_tools) for a GPU)
else ifneq (,$(and $(filter thread,$(sanitizers)),$(filter address,$(sanitizers))))
  $(error SAN=$(SAN): thread and address exclude each other; run one after the other)
else ifneq (,$(and $(filter cuda,$(BACKEND)),$(filter-out $(if $(on_gpu),$(gpu_tools)),$(sanitizers))))
  $(error SAN=$(SAN): $(if $(on_gpu),not for a GPU; use one of $(gpu_tools),an emulated GPU checks every access by itself))
else ifneq (,$(filter $(gpu_tools),$(if $(on_gpu),,$(sanitizers)) $(wordlist 2,9,$(sanitizers))))
  $(error SAN=$(SAN): $(gpu_tools) are for BACKEND=cuda, one at a time)
endif
ifneq (,$(and $(on_gpu),$(sanitizers)))
  checker := $(firstword $(shell command -v compute-sanitizer 2> /dev/null) \
    $(wildcard $(CUDA_HOME)/bin/compute-sanitizer $(CUDA_HOME)/compute-sanitizer/compute-sanitizer))
  ifeq (,$(checker))
    $(error SAN=$(SAN): compute-sanitizer is missing; it is a part of the CUDA toolkit, or a package like cuda-sanitizer-12-8)
  endif
endif

ifeq (default,$(origin CXX))
  CXX := $(if $(filter-out $(gpu_tools),$(sanitizers)),clang++-16,g++)
endif

ifeq (,$(filter alone mpi nccl,$(RANKS)))
  $(error RANKS=$(RANKS): unknown; use alone, mpi or nccl)
else ifneq (,$(if $(filter nccl,$(RANKS)),$(if $(filter cuda,$(BACKEND)),,none)))
  $(error RANKS=nccl connects GPUs: it is for BACKEND=cuda; use RANKS=mpi)
else ifneq (,$(and $(no_mpi),$(filter-out deps clean help,$(or $(MAKECMDGOALS),help))))
  $(error RANKS=$(RANKS): pkg-config knows no MPI by the name of $(MPI_PC); run `make deps RANKS=$(RANKS)`, or set MPI_PC)
else ifneq (,$(and $(NP),$(filter alone,$(RANKS))))
  $(error NP=$(NP) starts a program of many ranks: with RANKS=mpi)
else ifneq (,$(and $(NP),$(shell echo $(call quote,$(NP)) | grep -qxE '[1-9][0-9]{0,5}$(if $(filter ranks-test,$(MAKECMDGOALS)),( +[1-9][0-9]{0,5})*)' || echo bad)))
  $(error NP=$(NP): how many ranks to start: a whole number, 1 or more)
endif
with_ranks := $(filter-out alone,$(RANKS))
# NCCL is where NCCL_HOME says, a part of the toolkit, or the system's. An emulated GPU has its own.
with_nccl  := $(filter nccl,$(RANKS))
ifneq (,$(and $(with_nccl),$(on_gpu)))
  nccl_h := $(wildcard $(addsuffix /nccl.h,$(if $(NCCL_HOME),$(NCCL_HOME)/include,$(CUDA_HOME)/include /usr/include $(subst :, ,$(CPATH)))))
  ifneq (,$(and $(if $(nccl_h),,none),$(filter-out deps clean help,$(or $(MAKECMDGOALS),help))))
    $(error RANKS=nccl: there is no nccl.h$(if $(NCCL_HOME), in $(NCCL_HOME)/include); install NCCL (Debian, Ubuntu: libnccl-dev), or set NCCL_HOME)
  endif
endif

# Objects, and what is linked of them: of those for many ranks only what connects the ranks is compiled anew.
in_folder = build/$(subst $(space),-,$(strip $(BACKEND) $(emulated) $1 $(ARCH) $(if $(checker),checked,$(sanitizers)) \
  $(if $(findstring clang,$(CXX)),clang)))
B := $(call in_folder)
P := $(call in_folder,$(with_ranks) $(if $(with_ranks),$(filter-out mpi,$(MPI_PC))))

# -Wrestrict: GCC 12 sees an overlap in `"text" + string` where there is none (its bug 105651).
FLAGS := -std=c++20 -march=$(ARCH) -Wall -Wextra $(if $(findstring clang,$(CXX)),,-Wno-restrict) -I. -pthread $(if $(WERROR),-Werror)
ifdef checker
  FLAGS += -DTEENY_CHECKED
else ifneq (,$(SAN))  # under a sanitizer some `omp simd` loops are not vectorised, which clang would warn of
  FLAGS += -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all -DTEENY_CHECKED -Wno-pass-failed
endif

# A program that leaves the work to the library gains nothing from -O3, which takes 1.6 times as long to compile as -O1;
# nor does teeny/, which plans and leaves the loops to tinyops/, gain from it over -O2, nor do two files whose loops are all written
# out in packets. (gemm.cpp is three times as slow with -O2.) What reads program files is to be small.
at_leisure  = $(filter examples/% teeny/tool/% tests/test_% tests/random_graph% tests/course/% tests/ranks/%,$1)
fast_checks = $(of_headers) $(wildcard tests/course/28-*)  # loops of the CPU's kernels stand in them
is_small    = $(filter teeny/files/% teeny/program/%,$1)
in_packets  = $(filter tinyops/cpu/contract/many.cpp tinyops/cpu/contract/pad_copy.cpp,$1)
optimise_of = $(if $(sanitizers)$(filter-out $(fast_checks),$(at_leisure)),-O1,$(if $(call is_small,$1),-Os,$(if $(filter teeny/%,$1)$(in_packets),-O2,-O3)))

# Only the backend that needs them knows of Eigen and OpenMP.
EIGEN     := $(subst -I,-isystem ,$(or $(shell pkg-config --cflags eigen3 2> /dev/null),-I/usr/include/eigen3))
# Nobody asks which exceptions were raised, or for errno: only then do sqrt and a choice between two values become packets.
CPU_FLAGS  = $(EIGEN) -fopenmp -fno-math-errno -fno-trapping-math $(if $(filter x86_64,$(shell uname -m)),-mprefer-vector-width=512)
HOST_FLAGS = -x c++ -Itests/gpu_emulator -O1 -g1 -fsanitize=bounds -fno-sanitize-recover=bounds \
  -ftrivial-auto-var-init=pattern -U_FORTIFY_SOURCE -Wno-unknown-pragmas -Wno-missing-field-initializers
emulated_gpu    = $(filter tinyops/cuda/% tinyops/ranks/%.cu tests/gpu_emulator/% tests/course/cuda/% tests/bench/gpu_%,$1)
# Objects that a shared library may have, too, which shows nothing but the C header; the linker leaves out what is not used.
PROGRAM_FLAGS  := -fPIC -fvisibility=hidden -ffunction-sections
# Only what connects the ranks knows of MPI.
of_ranks  := tinyops/ranks/mpi.cpp tinyops/ranks/nccl.cu
MPI_FLAGS := $(if $(with_ranks),$(subst -I,-isystem ,$(shell pkg-config --cflags $(MPI_PC))))
flags_of   = $(FLAGS) $(if $(filter $(of_ranks),$1),$(MPI_FLAGS)) $(optimise_of) $(if $(filter tinyops/%.cpp,$1)$(is_small),$(PROGRAM_FLAGS)) $(if $(emulated_gpu),$(HOST_FLAGS)) $(if $(filter tinyops/cpu/% $(fast_checks),$1),$(CPU_FLAGS)) \
  $(if $(filter tests/course/%,$1),-Wno-unused -Wno-error -Werror=return-type) $(CXXFLAGS)
MPI_LIBS  := $(if $(with_ranks),$(shell pkg-config --libs $(MPI_PC)))
LIBS      := $(strip $(if $(filter cpu,$(BACKEND)),-fopenmp) $(if $(emulated),-fsanitize=bounds) \
  $(if $(on_gpu),$(if $(with_nccl),$(if $(NCCL_HOME),-L$(NCCL_HOME)/lib -Wl$(comma)-rpath$(comma)$(NCCL_HOME)/lib) -lnccl) -L$(CUDA_HOME)/lib64 -lcudart_static -ldl -lrt) $(MPI_LIBS) -lz -pthread)

# Machine code for each of these, and for newer ones PTX, which the driver compiles when the program starts.
# What ptxas says of the registers of each kernel stays beside the object: `make cuda-report`.
NVCC_FLAGS = -std=c++20 -O3 -I. --expt-relaxed-constexpr -lineinfo -Xptxas -v -ccbin $(lastword $(CXX)) \
  $(if $(checker),-DTEENY_CHECKED) \
  $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$a$(comma)code=sm_$a) -gencode arch=compute_$(newest)$(comma)code=compute_$(newest) \
  -Xcompiler -Wall$(comma)-Wextra$(comma)-Wno-restrict$(comma)-Wno-unused-parameter$(if $(WERROR),$(comma)-Werror -Werror all-warnings)

# Sanitizers name functions and lines through a symbolizer. The one for threads learns from Archer, a part of clang's
# OpenMP, what a parallel loop orders.
symbolizer := $(shell command -v llvm-symbolizer-16 || command -v llvm-symbolizer)
symbols    := $(if $(symbolizer),:external_symbolizer_path=$(symbolizer))
ifdef checker  # some tests ask for more memory than there is: that answer is no error
  RUN := $(checker) --tool $(SAN) --error-exitcode 1 $(if $(filter memcheck,$(SAN)),--report-api-errors no)
else ifneq (,$(filter thread,$(sanitizers)))
  RUN := TSAN_OPTIONS=ignore_noninstrumented_modules=1$(symbols) \
    OMP_TOOL_LIBRARIES=$(abspath $(shell $(CXX) -print-resource-dir)/../../libarcher.so)
else ifneq (,$(SAN))
  RUN := ASAN_OPTIONS=print_legend=0$(symbols) UBSAN_OPTIONS=print_stacktrace=1$(symbols)
endif

# ---- What is built --------------------------------------------------------------------------------------------------

tool    := $(wildcard teeny/tool/*.cpp)
emulator := $(if $(emulated),$(filter-out tests/gpu_emulator/test_% $(if $(with_nccl),,tests/gpu_emulator/nccl.cpp),$(wildcard tests/gpu_emulator/*.cpp)))
library := tinyops/ranks/$(if $(filter alone,$(RANKS)),alone,mpi).cpp $(wildcard tinyops/base/*.cpp tinyops/common/*.cpp) $(filter-out $(tool),$(wildcard teeny/*/*.cpp)) tinyops/reference/reference.cpp
ifeq (cpu,$(BACKEND))
  library := $(wildcard tinyops/cpu/*/*.cpp tinyops/cpu/*.cpp) $(library)  # what takes longest comes first
else ifeq (cuda,$(BACKEND))
  by_host := tinyops/cuda/index/collective.cu  # collectives that do not go from GPU to GPU
  library += $(if $(with_nccl),tinyops/ranks/nccl.cu) $(filter-out $(if $(with_nccl),$(by_host)),$(wildcard tinyops/cuda/*/*.cu)) $(emulator)
else
  library += tinyops/$(BACKEND)/device.cpp
endif
# The checks of the course's exercises, which tests/course/tool runs. Of a hole in a header of tinyops/ nothing but its check is
# compiled again: these are a program of their own, without the library.
checks   := $(wildcard tests/course/*.cpp)
checked  := $(library)
of_headers := $(patsubst notes/exercises/%.md,tests/course/%.cpp,$(shell grep -l '^config: header' notes/exercises/*.md))
ifdef emulated
# A program of few objects, so that the first verdict of a kernel comes in seconds: those that the pages of the exercises in OPEN,
# or of CHECK=32, or of all, name beside the emulated GPU. What knows of no GPU the CPU's configuration has.
  of_cuda := $(shell grep -l '^config: cuda' notes/exercises/*.md)
  asked   := $(if $(OPEN),$(shell grep -lx $(OPEN:%=-e 'file: %') $(of_cuda))) $(wildcard notes/exercises/$(CHECK)-*.md)
  of_cuda := $(or $(sort $(asked)),$(of_cuda))
  checks  := $(of_cuda:notes/exercises/%.md=tests/course/cuda/%.cpp)
  checked := $(emulator) tinyops/cuda/runtime/device.cu tinyops/cuda/runtime/graph.cu $(by_host) \
    tinyops/ranks/alone.cpp \
    $(sort $(shell sed -n 's/^objects: //p' $(of_cuda)))
  of_cpu  := $(patsubst %.cpp,build/cpu-$(ARCH)/%.o,tests/course/check.cpp $(wildcard tinyops/base/*.cpp tinyops/common/*.cpp))
endif
tests_of_ranks := tests/ranks/main.cpp tests/ranks/checks.cpp $(wildcard tests/ranks/test_*.cpp)
tests    := tests/main.cpp $(wildcard tests/random_graph*.cpp tests/test_*.cpp $(if $(emulated),tests/gpu_emulator/test_*.cpp))
of_gpt2   := $(addprefix examples/,bpe.cpp unicode.cpp weights.cpp)
of_resnet := $(addprefix examples/,image.cpp unicode.cpp weights.cpp)
programs := $(wildcard examples/*.cpp tests/bench/*.cpp tests/ranks/*.cpp) tests/program/save_mnist.cpp $(if $(filter cuda,$(BACKEND)),tests/bench/gpu_peak.cu)
sources  := $(library) $(tool) $(tests) $(programs) $(checks) $(wildcard tests/course/tool/*.cpp)
# Only the kernels differ from backend to backend, and with the width of a register: SHARED=build/cpu-native takes all other objects from
# there, where they must be built already.
its_own = $(filter tinyops/% tests/gpu_emulator/% tests/course/% tests/bench/%,$1)
folder  = $(if $(filter $(of_ranks),$1),$P,$(if $(sanitizers),$B,$(or $(if $(call its_own,$1),$B),$(SHARED),$B)))
object  = $(foreach s,$1,$(call folder,$s)/$(basename $s).o)

LIBTEENY := $P/libteeny.a

$(LIBTEENY): $(call object,$(library)) | compile_commands.json
	@rm -f $@
	$(call say,archive,$@)
	$Qar rcs $@ $^

# What runs a program file: of teeny/ nothing that knows a tensor.
of_program     := tinyops/ranks/alone.cpp $(if $(with_nccl),$(by_host)) $(filter-out tinyops/ranks/% $(filter-out teeny/files/% teeny/program/%,$(filter teeny/%,$(library))),$(library))
LIBPROGRAM     := $B/libteeny_program.a
# What plans is small there rather than fast: a program's kernels are planned once.
of_plans       := $(filter tinyops/base/%.cpp tinyops/common/%.cpp tinyops/cpu/contract/contract.cpp tinyops/cpu/row/row_plan.cpp \
  tinyops/cpu/row/row_stages.cpp tinyops/cpu/stencil/find_stencil.cpp tinyops/cpu/coordinates.cpp tinyops/cpu/memory.cpp,$(of_program))
$B/small/%.o: %.cpp $B/flags
	@mkdir -p $(@D)
	$(call say,compile,$<)
	$Q$(CXX) $(call flags_of,$<) $(if $(sanitizers),,-Os) -MMD -MP -c $< -o $@
-include $(wildcard $(of_plans:%.cpp=$B/small/%.d))
$(LIBPROGRAM): $(call object,$(filter-out $(of_plans),$(of_program))) $(of_plans:%.cpp=$B/small/%.o)
	@rm -f $@
	$(call say,archive,$@)
	$Qar rcs $@ $^
# Not libteeny.so, which a linker would take for libteeny.a.
$(LIBPROGRAM:.a=.so): $(LIBPROGRAM)
	$(call say,link,$@)
	@echo '{ global: teeny_*; local: *; };' > $(@:.so=.map)
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) -shared -Wl,-soname,$(@F),--gc-sections,-u,teeny_load,--version-script,$(@:.so=.map),-z,defs \
	  $< $(filter-out -lz $(MPI_LIBS),$(LIBS)) -s -o $@

# Its tests: a network as a program file (WEIGHTS=digits.safetensors, of examples/mnist), a binary with it inside, and a program in C.
$P/program/save_mnist: $B/tests/program/save_mnist.o $(LIBTEENY)
	@mkdir -p $(@D)
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) $^ $(LIBS) -o $@
$P/program/mnist.teeny: $P/program/save_mnist $(WEIGHTS)
	$Q$(RUN) $< $(or $(WEIGHTS),-) $@ $(@:.teeny=.logits)
$P/program/mnist_server: tests/program/mnist_server.cpp $P/program/mnist.teeny $(LIBPROGRAM)
	$(call say,link,$@)
	$Q$(CXX) $(FLAGS) -Os -DNET='"$(abspath $P/program/mnist.teeny)"' $(CXXFLAGS) $< $(LIBPROGRAM) -Wl,--gc-sections,-z,noseparate-code \
	  $(filter-out -lz $(MPI_LIBS),$(LIBS)) -o $@.symbols
	$Qstrip $@.symbols -o $@
c_compiler = $(or $(patsubst clang++%,clang%,$(filter clang++%,$(CXX))),gcc)
$P/program/c_api: tests/program/c_api.c teeny/c_api.h $(LIBPROGRAM)
	@mkdir -p $(@D)
	$Q$(c_compiler) -std=c99 -Wall -Wextra -Werror -pedantic -O1 -I. -pthread $(filter -fsanitize=%,$(FLAGS)) -c $< -o $@.o
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) $@.o $(LIBPROGRAM) $(filter-out -lz $(MPI_LIBS),$(LIBS)) -o $@

$P/test: $(call object,$(tests) $(of_gpt2) $(of_resnet)) $(LIBTEENY)
$P/bin/teeny: $(call object,$(tool)) $(LIBTEENY)  # $B/teeny is the folder of objects
$P/bench: $B/tests/bench/bench.o $B/tests/bench/$(if $(filter cuda,$(BACKEND)),gpu_)peak.o $B/examples/common.o $(LIBTEENY)
$P/sweep: $B/tests/bench/sweep.o $B/tests/bench/$(if $(filter cuda,$(BACKEND)),gpu_)peak.o $B/examples/common.o $(LIBTEENY)
$P/growth: $B/tests/bench/growth.o $B/tests/bench/$(if $(filter cuda,$(BACKEND)),gpu_)peak.o $B/examples/common.o $(LIBTEENY)
$P/ranks: $(call object,$(tests_of_ranks)) $(LIBTEENY)
$P/misuse: $(call object,tests/ranks/misuse.cpp) $(LIBTEENY)
# As RANKS=alone links it.
$P/misuse-alone: $(call object,tests/ranks/misuse.cpp tinyops/ranks/alone.cpp $(if $(with_nccl),$(by_host)) $(filter-out tinyops/ranks/%,$(library)))
	@mkdir -p $(@D)
	$(call say,link,$@)
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) $^ $(LIBS) -o $@
$(EXAMPLES:%=$P/%): $P/%: $B/examples/%.o $B/examples/common.o $(LIBTEENY)
$P/gpt2: $(call object,$(of_gpt2))
$P/resnet: $(call object,$(of_resnet))
$P/network: $B/tests/ranks/network.o $(LIBTEENY)
$P/test $P/ranks $P/misuse $P/bin/teeny $P/bench $P/sweep $P/growth $P/network $(EXAMPLES:%=$P/%):
	@mkdir -p $(@D)
	$(call say,link,$@)
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) $(filter %.o,$^) $(LIBTEENY) $(if $(filter %/image.o,$^),-lpng) $(LIBS) -o $@

define compile_object
@mkdir -p $(@D)
$(call say,compile,$<)
$Q$(CXX) $(call flags_of,$<) $(call begins_with,$<) -MMD -MP -c $< -o $@
endef
$B/%.o: %.cpp $B/flags
	$(compile_object)
$P/tinyops/ranks/%.o: tinyops/ranks/%.cpp $B/flags
	$(compile_object)

# Nearly every file of teeny/ includes what tensor/function.h does: GCC reads that once for all of them. The other compiler, which
# the sanitizers take, reads each file as it stands, and so sees an include that is missing.
ifeq (,$(findstring clang,$(CXX))$(sanitizers))
begins_with = $(if $(filter teeny/%,$1),$(if $(call at_leisure,$1)$(call is_small,$1),,-include $B/prefix.h))
$(filter $B/teeny/%,$(call object,$(library))): $B/prefix.h.gch
$B/prefix.h.gch: teeny/tensor/function.h $B/flags
	@echo '#include "$<"' > $B/prefix.h
	$(call say,compile,$<)
	$Q$(CXX) $(call flags_of,teeny/) -MMD -MP -MF $B/prefix.h.d -MT $@ -x c++-header -c $B/prefix.h -o $@
-include $B/prefix.h.d
endif

# nvcc prints what ptxas has to say to stderr, where warnings go; only these are for the eye.
nvcc = $(NVCC) $(NVCC_FLAGS) $(if $(filter $(of_ranks),$<),$(NCCL_HOME:%=-I%/include)) -MMD -MP -MF $(@:.o=.d) -c $< -o $@ 2> $(@:.o=.ptxas); code=$$?; \
  grep -vE '^ptxas info|^ +[0-9]+ bytes (stack|spill)' $(@:.o=.ptxas) >&2; exit $$code
define compile_for_gpu
@mkdir -p $(@D)
$(call say,compile,$<)
$Q$(if $(on_gpu),$(nvcc),$(CXX) $(call flags_of,$<) -MMD -MP -c $< -o $@)
endef
$B/%.o: %.cu $B/flags
	$(compile_for_gpu)
$P/tinyops/ranks/%.o: tinyops/ranks/%.cu $B/flags
	$(compile_for_gpu)

-include $(wildcard $(patsubst %.o,%.d,$(call object,$(sources))))

# The checks of the course, linked with what they check. A library file whose exercise is open (OPEN=) has an object of its
# own, compiled in haste and without complaints about what a stub does not use; no other program links it, and neither the
# archive nor a benchmark ever holds a hole.
open_flags   = $(FLAGS) $(if $(filter tinyops/cpu/%,$1),-O3 $(CPU_FLAGS),-O1) $(if $(emulated_gpu),$(HOST_FLAGS) -O0) \
  -Wno-unused -Wno-error -Werror=return-type $(CXXFLAGS)
open_objects = $(patsubst $B/%,$B/open/%,$(call object,$(filter $(OPEN),$(checked))))
$B/course: $(call object,$(filter-out $(of_headers),$(checks)) $(filter-out $(OPEN),$(checked))) $(open_objects) $(of_cpu) $B/open/list
$B/course-headers: $(call object,$(of_headers) tests/course/check.cpp $(wildcard tinyops/base/*.cpp))
$B/course $B/course-headers:
	$(call say,link,$@)
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) $(filter %.o,$^) $(LIBS) -o $@
$B/open/%.o: %.cpp $B/open/prefix.h.gch $B/flags
	@mkdir -p $(@D)
	$(call say,compile,$<)
	$Q$(CXX) $(call open_flags,$<) $(if $(filter teeny/%,$<),-include $B/open/prefix.h) -MMD -MP -c $< -o $@
$B/open/%.o: %.cu $B/flags
	@mkdir -p $(@D)
	$(call say,compile,$<)
	$Q$(CXX) $(call open_flags,$<) -MMD -MP -c $< -o $@
ifdef of_cpu
.PHONY: objects-of-cpu
$(of_cpu): | objects-of-cpu ;
objects-of-cpu:
	+@$(MAKE) -s --no-print-directory BACKEND=cpu EMULATE= $(of_cpu)
endif
$B/open/prefix.h.gch: teeny/tensor/function.h $B/flags
	@mkdir -p $(@D)
	@echo '#include "$<"' > $B/open/prefix.h
	$Q$(CXX) $(call open_flags,teeny/) -MMD -MP -MF $B/open/prefix.h.d -MT $@ -x c++-header -c $B/open/prefix.h -o $@
$B/open/list: $(if $(call differ,$(OPEN) $(CHECK),$(shell cat $B/open/list 2> /dev/null)),FORCE)
	@mkdir -p $(@D)
	@echo '$(OPEN) $(CHECK)' > $@
-include $(wildcard $B/open/prefix.h.d $(open_objects:.o=.d))

# A line for each file: `  [3/57] compile teeny/graph/lazy.cpp`. How many there are a make that only counts says, asked once.
Q     := $(if $(V),,@)
say    = $(if $(V),,@echo '  $(if $(filter compile,$1),$(progress))$1 $2')
ifndef COUNTING
progress = $(eval compiled += x)[$(words $(compiled))/$(total)] $(empty)
total    = $(eval total := $(shell $(MAKE) -n COUNTING=1 BACKEND='$(BACKEND)' ARCH='$(ARCH)' RANKS='$(RANKS)' MPI_PC='$(MPI_PC)' EMULATE='$(EMULATE)' SAN='$(SAN)' \
  CXX='$(CXX)' WERROR='$(WERROR)' $(MAKECMDGOALS) 2> /dev/null | grep -c '^echo .  compile'))$(total)
endif

# Everything depends on this file, and it is written when the flags change, which is seen before a rule runs: so `make -n` says
# what would be compiled. Before it does, what a compiler would only say in
# its own words is said here: what is missing, and how to get it.
headers := $(if $(filter cpu,$(BACKEND)),Eigen/Core omp.h) zlib.h png.h nlohmann/json.hpp doctest/doctest.h CLI/CLI.hpp
flags_now := $(strip $(CXX) $(FLAGS) $(PROGRAM_FLAGS) $(CPU_FLAGS) $(HOST_FLAGS) $(if $(on_gpu),$(NVCC) $(NVCC_FLAGS)) $(CXXFLAGS))
$B/flags: $(if $(call differ,$(flags_now),$(strip $(shell cat $B/flags 2> /dev/null))),FORCE)
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(flags_now)) > $@.$$$$; \
	command -v $(CXX) > /dev/null || { rm $@.$$$$; \
	  echo '$(CXX) is missing: run $(if $(SAN),apt-get install clang-16 libclang-rt-16-dev libomp-16-dev,make deps)' >&2; exit 1; }; \
	check() { $(CXX) $(FLAGS) $(CPU_FLAGS) $(CXXFLAGS) -fsyntax-only -x c++ -; }; \
	echo | check || { rm $@.$$$$; echo '$(CXX) does not take these flags' >&2; exit 1; }; \
	for h in $(headers); do \
	  printf '#if !__has_include(<%s>)\n#error\n#endif\n' $$h | check 2> /dev/null || { rm $@.$$$$; \
	    echo "<$$h> is missing: run make deps$(if $(findstring clang,$(CXX)), and apt-get install libomp-16-dev)" >&2; exit 1; }; \
	done; \
	mv $@.$$$$ $@

# For editors and clang-tidy: how each file is compiled, in the configuration that was built last.
json  = $(subst ",\",$(subst \,\\,$1))
entry = {"directory": "$(call json,$(CURDIR))", "file": "$1", "command": "$(call json,$(CXX) $(call flags_of,$1) -c $1)"}
# The first command, and how many lines there are: whether it must be written anew is seen without a rule, as above.
commands_now  = $(call entry,$(firstword $(sources)))$(comma) $(words [ $(sources) ])
commands_then = $(shell sed -n '2p;$$=' compile_commands.json 2> /dev/null)
compile_commands.json: $(if $(call differ,$(commands_now),$(commands_then)),FORCE)
	@{ echo '['; printf '%s\n' $(foreach s,$(sources),$(call quote,$(call entry,$s))) | sed '$$!s/$$/,/'; echo ']'; } > $@

# ---- What can be asked for ------------------------------------------------------------------------------------------

# NP=4: so many ranks on this machine, which share its cores, and may be more than there are. A container's user is often
# root, and has no ssh, without which Open MPI's mpirun does not even start here; each must be told twice.
mpirun_of = $(firstword $(shell command -v mpirun.$(patsubst ompi,openmpi,$1) mpirun.openmpi mpirun) mpirun)
MPIRUN   ?= $(if $(filter mpi,$(MPI_PC)),mpirun,$(call mpirun_of,$(MPI_PC)))
ifneq (,$(if $(with_ranks),$(NP)$(filter ranks-test,$(MAKECMDGOALS))))
  $(if $(shell command -v $(firstword $(MPIRUN))),,$(error there is no $(MPIRUN), which starts a program of many ranks: \
    package $(if $(filter mpich,$(MPI_PC)),mpich,openmpi-bin); or set MPIRUN))
endif
launch    = $(if $(NP),OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$$(n=$$(($$(nproc) / $(NP))); echo $$((n > 0 ? n : 1)))} \
  OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_vader_single_copy_mechanism=none \
  $$([ $$(id -u) != 0 ] || echo OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1) \
  $$(command -v ssh > /dev/null || echo OMPI_MCA_plm=isolated) $(MPIRUN) -n $(NP))
# Open MPI's ranks write to a terminal also where mpirun does not.
on_terminal = $$([ -t 1 ] || echo TERM=dumb)

# Where other programs run too, threads that wait for each other must sleep: spinning makes a training ten times slower.
$(EXAMPLES) run test: export OMP_WAIT_POLICY ?= passive

mnist: ## train a small convnet on MNIST for one epoch
beautiful_mnist: ## train tinygrad's network on MNIST
teenygrad_mnist: ## train teenygrad's network for 100 steps
linear_regression: ## find a line through noisy points
two_moons: ## separate two moons, and draw the border
gpt: ## train a character-level transformer on these sources and let it write
gpt2: ## go on with a text, with the weights of GPT-2 (ARGS='--model gpt2/model.safetensors "Once upon a time"')
resnet: ## say what a picture shows, with the weights of a ResNet (ARGS='--model resnet18.safetensors dog.png')
$(EXAMPLES): %: $P/%
	$(if $(NP),@echo '$(MPIRUN) -n $(NP) $< $(ARGS)'; env $(on_terminal) $(launch),$(RUN)) $< $(ARGS)

examples: $(EXAMPLES:%=$P/%) ## build all of these

launch: ## print what starts NP ranks on this machine, as in $(make -s launch RANKS=mpi NP=4) program
	@echo env $(launch)

teeny: $P/bin/teeny ## build the command-line tool: files of tensors, ONNX models

run: $P/bin/teeny ## run an ONNX network with it (MODEL=net.onnx INPUT=image.npy ARGS='--top 5')
	$(if $(MODEL),,@echo 'run which network? MODEL=net.onnx INPUT=image.npy' >&2; exit 2)
	$(RUN) $< run $(call quote,$(MODEL)) $(INPUT) $(ARGS)

onnx-test: $P/bin/teeny ## run ONNX's own cases, which Debian's package libonnx-testdata has
	@tests/interop/onnx_test.sh $<

test: $P/test ## build and run the tests (ARGS='--test-case=*view*')
	$(RUN) $< $(ARGS)

libteeny_program.so: $(LIBPROGRAM:.a=.so) ## build the library behind teeny/c_api.h, which runs program files and exports nothing else

test-program: $(addprefix $P/program/,c_api mnist_server) $(if $(sanitizers),,$(LIBPROGRAM:.a=.so)) ## program files without a graph: from C, from Python, in one small binary
	@tests/program/test.sh $P $(call quote,$(if $(RUN),env $(RUN)))

# The launcher of an MPI that is not MPI_PC's.
other_mpirun = $(firstword $(filter-out $(realpath $(shell command -v $(MPIRUN))),$(foreach m,openmpi mpich,$(realpath $(shell command -v mpirun.$m)))))
ranks-test: $(addprefix $P/,ranks misuse misuse-alone network $(if $(if $(ONLY),$(findstring files,$(ONLY)),all),mnist)) ## run the tests of many ranks (NP='2 4' for the checks; ONLY=checks,misuse,launcher,files,nccl,hosts)
	@RANKS='$(NP)' MPIRUN=$(MPIRUN) OTHER_MPIRUN=$(other_mpirun) ONLY=$(ONLY) tests/ranks.sh $P

no_training = ARGS='--test-case-exclude=*[train]*'
test-all: ## the tests again under sanitizers, on the reference and an emulated GPU, and a long fuzz (FUZZ=rounds MUTATIONS=files)
	$(MAKE) test
ifdef on_gpu
	$(MAKE) sanitize-cuda
	$(MAKE) test EMULATE=1 $(no_training)
else ifndef emulated
	THREAD_STEPS=10000 $(MAKE) test SAN=address,undefined $(no_training)
	MUTATIONS=$(MUTATIONS) $(MAKE) test SAN=address,undefined ARGS='--test-case=*damaged*'
	THREAD_STEPS=10000 $(MAKE) test SAN=thread $(no_training)
	$(MAKE) test BACKEND=reference $(no_training)
	$(MAKE) test BACKEND=cuda EMULATE=1 $(no_training)
endif
	FUZZ=$(FUZZ) $(MAKE) test ARGS='--test-case=*fuzz*'
	EVERY=64 $(MAKE) test ARGS='--test-case=functions*'

# Slow: a launch takes some hundred times as long. TOOLS='memcheck' ARGS='--test-case=*gather*' chooses.
TOOLS ?= memcheck racecheck initcheck
sanitize-cuda: ## the tests on a GPU under NVIDIA's compute-sanitizer (TOOLS='memcheck racecheck initcheck')
	$(if $(on_gpu),,@echo 'sanitize-cuda needs BACKEND=cuda and a GPU' >&2; exit 1)
	@$(MAKE) --no-print-directory SAN=memcheck $B-checked/test
	@for tool in $(TOOLS); do \
	  echo "compute-sanitizer --tool $$tool"; \
	  $(MAKE) --no-print-directory test SAN=$$tool $(if $(ARGS),,$(no_training)) || failed="$$failed $$tool"; done; \
	[ -z "$$failed" ] || { echo "complained:$$failed" >&2; exit 1; }

cuda-report: $(LIBTEENY) ## registers, shared memory and spills of each CUDA kernel; one that spills is an error
	$(if $(on_gpu),,@echo 'cuda-report needs BACKEND=cuda and nvcc' >&2; exit 1)
	@cat $(patsubst %.o,%.ptxas,$(filter $B/tinyops/cuda/%,$(call object,$(library)))) | c++filt | awk -f tests/cuda_report.awk

# Of several programs that a command line names, each waits until the one before it is done.
in_order = $(if $2,$(eval $(firstword $2): | $1)$(call in_order,$(firstword $2),$(wordlist 2,99,$2)))
runs    := $(filter run test test-all bench $(EXAMPLES),$(MAKECMDGOALS))
$(call in_order,$(firstword $(runs)),$(wordlist 2,99,$(runs)))

bench: $P/bench ## measure (ONLY=conv,train JSON=file ARGS='--seconds 0.5')
	$(RUN) $< $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON)) $(ARGS)

bench-compare: $P/bench ## teeny beside its peers on the same device, in one table (PEERS=python that has torch, jax, tinygrad, onnxruntime; first it exports some networks, for minutes)
	$(if $(PEERS),$(if $(if $(ONLY),$(findstring onnx,$(ONLY)),all),-$(PEERS) tests/bench/peers/onnx_models.py build/onnx))
	python3 tests/bench/compare.py $< $(PEERS) $(if $(ONLY),--only $(ONLY)) $(if $(PEERS),--onnx build/onnx) $(ARGS)

bench-sweep: $P/sweep ## look for geometries at which teeny is slow (PEERS=python that has torch, ARGS='--count 2000 --seed 0 --only conv')
	python3 tests/bench/sweep.py $< $(PEERS) $(ARGS)

# For the curve of ranks growth.py builds the program of many ranks, where there is an MPI.
of_ranks_too = $(call in_folder,$(or $(with_ranks),mpi) $(filter-out mpi,$(MPI_PC)))/growth
bench-growth: $(if $(emulated),,$P/growth) ## how cost grows with batch, width, nodes, threads and ranks: growth.csv and growth.svg (ONLY=batch,nodes OUT=build/growth)
	$(if $(emulated),@echo 'bench-growth: emulated kernels have no times' >&2; exit 1)
	python3 tests/bench/growth.py $< $(or $(OUT),build/growth) --ranks $(of_ranks_too) \
	  --only $(or $(ONLY),batch$(comma)width$(comma)nodes$(if $(on_gpu),,$(comma)threads$(comma)ranks)) $(ARGS)

# ---- The course -----------------------------------------------------------------------------------------------------

COURSE := build/course/tool
# Only what is named on the command line is passed on; the builds that a check needs are makes of their own.
course_options = $(foreach n,EX AGAIN SEED FROM JSON OUT ONLY,$(if $($n),$n=$(call quote,$($n))))
course_verbs  := course start check watch hint skip solve grade handout gradescope prove
course: ## the exercises: write a piece of teeny, and see it go green
start: ## open an exercise in the source (EX=3; AGAIN=1 to begin anew)
check: ## build and check an exercise (EX=3)
watch: ## check it whenever the file is saved (EX=3)
hint: ## a question first, then one hint more each time (EX=3)
skip: ## put the shipped body back; yours is kept aside (EX=3)
solve: ## print the shipped body (EX=3)
grade: ## all that is yours, each alone, with three seeds (FROM=folder JSON=file)
handout: ## a tree with these exercises open and no solutions (EX=1-12 OUT=folder)
gradescope: ## an autograder for Gradescope (EX=1-12 OUT=course.zip)
prove: ## what must hold of the course itself (ONLY=markers,matrix,wrong,chain,time,leaks,grading EX=3-5)
course_make = BACKEND=$(BACKEND) ARCH=$(ARCH) $(if $(filter command line,$(origin CXX)),CXX=$(CXX)) $(if $(WERROR),WERROR=$(WERROR)) \
  -j$(or $(shell nproc 2> /dev/null),1)
$(course_verbs): $(COURSE)
	@COURSE_BUILD='$B' COURSE_MAKE='$(strip $(course_make))' $< $@ $(course_options)

tool := $(wildcard tests/course/tool/*.cpp)
$(COURSE): $(tool:tests/course/tool/%.cpp=build/course/objects/%.o)
	@$(CXX) $^ -o $@
build/course/objects/%.o: tests/course/tool/%.cpp
	@mkdir -p $(@D)
	@echo '  compile $<'
	@$(CXX) -std=c++20 -O1 -Wall -Wextra $(if $(WERROR),-Werror) -MMD -MP -c $< -o $@
-include $(wildcard build/course/objects/*.d)

layers: ## check that every include of the house runs down
	@python3 tests/house/layers.py
	@tests/house/spine.sh

house: ## draw the rooms and their arrows from the includes: notes/house.svg
	python3 tests/house/layers.py --draw notes/house.svg

sources_by_hand = $(shell find teeny tinyops examples tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' | sort)

format: ## lay out all sources with clang-format-14
	@command -v clang-format-14 > /dev/null || { echo 'clang-format-14 is missing: run apt-get install clang-format-14' >&2; exit 1; }
	clang-format-14 -i $(sources_by_hand)

loc: ## count lines of code, by file and by folder with all below it; comments and blank lines do not count
	@awk '!/^[ \t]*(\/\/.*)?$$/ { file[FILENAME]++ } \
	  END { for (f in file) { printf "%6d  %s\n", file[f], f | "LC_ALL=C sort -k2"; all += file[f]; \
	          for (folder = f; sub("/[^/]*$$", "", folder); ) folders[folder] += file[f] } \
	        close("LC_ALL=C sort -k2"); print ""; \
	        for (f in folders) printf "%6d  %s/\n", folders[f], f | "LC_ALL=C sort -k2"; close("LC_ALL=C sort -k2"); \
	        printf "%6d  in all\n", all }' \
	  $(sources_by_hand)

try: ## compile and run a piece of a program, as the chapters show them (FILE=piece.cpp)
	+@python3 tests/book/programs.py $(call quote,$(FILE)) $(if $(NP),env $(on_terminal) $(launch))

notes: $(LIBTEENY) ## write the excerpts, outputs and figures of the notes anew, and check the rest (PAGE=02)
	+python3 tests/book/notes.py $(PAGE)

book: $(if $(WASM),widgets) ## the book as HTML in build/book; needs pandoc (WASM=1: with widgets, needs emscripten)
	@python3 notes/book/pages.py $(if $(WASM),--widgets)

# WASM=1: `make book` has pages that can be played with. Without emscripten this says so, and is no error.
ifneq (,$(WASM)$(filter widgets,$(MAKECMDGOALS)))
include notes/widgets/widgets.mk
endif

tour: ## write notes/code_tour.md from an execution (ARGS=--check: it must be there already)
	+python3 tests/house/tour.py $(ARGS)

# What a program outside may include: teeny.h, testing.h, what ranks have sent each other, and what these are made of.
version = $(shell sed -n 's/.*kVersion = "\(.*\)".*/\1/p' teeny/version.h)
public  = $(shell $(CXX) -std=c++20 -I. -MM -include teeny/teeny.h -include teeny/testing.h -include tinyops/ranks.h -x c++ /dev/null | \
  tr ' \\' '\n\n' | grep -E '^(teeny|tinyops)/')

# Both files find the library from where they lie: an installed tree may be moved.
define pkg_config
prefix=$${pcfiledir}/../..
Name: teeny
Description: a deep-learning framework to read
Version: $(version)
Cflags: -std=c++20 -I$${prefix}/include -pthread
Libs: -L$${prefix}/lib -lteeny $(LIBS)
endef

cmake_finds := $(if $(filter cpu,$(BACKEND)),OpenMP) $(if $(on_gpu),CUDAToolkit) ZLIB Threads
cmake_links := $(if $(filter cpu,$(BACKEND)),OpenMP::OpenMP_CXX) $(if $(on_gpu),CUDA::cudart_static) ZLIB::ZLIB Threads::Threads \
  $(MPI_LIBS) $(if $(emulated),-fsanitize=bounds)
define cmake_config
# find_package(teeny CONFIG REQUIRED), then target_link_libraries(program teeny::teeny).
include(CMakeFindDependencyMacro)
foreach(package $(cmake_finds))
  find_dependency($${package})
endforeach()
if(NOT TARGET teeny::teeny)
  get_filename_component(teeny_prefix "$${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
  add_library(teeny::teeny STATIC IMPORTED)
  set_target_properties(teeny::teeny PROPERTIES
    IMPORTED_LOCATION "$${teeny_prefix}/lib/libteeny.a"
    INTERFACE_INCLUDE_DIRECTORIES "$${teeny_prefix}/include"
    INTERFACE_COMPILE_FEATURES cxx_std_20
    INTERFACE_LINK_LIBRARIES "$(subst $(space),;,$(strip $(cmake_links)))")
endif()
endef

define cmake_version
# Before 1.0 another second number is another interface.
set(PACKAGE_VERSION "$(version)")
if("$${PACKAGE_FIND_VERSION_MAJOR}.$${PACKAGE_FIND_VERSION_MINOR}" STREQUAL "$(basename $(version))"
   AND NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
endef

install: export pc = $(pkg_config)
install: export config = $(cmake_config)
install: export config_version = $(cmake_version)
to := "$(DESTDIR)$(PREFIX)"
install: $(LIBTEENY) $(LIBPROGRAM) $(LIBPROGRAM:.a=.so) $P/bin/teeny ## install the libraries, their headers, and the program teeny with its manual page (PREFIX=/usr/local DESTDIR=)
	@for h in $(public); do install -D -m 644 $$h $(to)/include/$$h || exit 1; done
	install -D -m 644 teeny/c_api.h $(to)/include/teeny/c_api.h
	install -D -m 644 $(LIBTEENY) $(to)/lib/libteeny.a
	install -D -m 644 $(LIBPROGRAM) $(to)/lib/$(notdir $(LIBPROGRAM))
	install -D -m 755 $(LIBPROGRAM:.a=.so) $(to)/lib/$(notdir $(LIBPROGRAM:.a=.so))
	install -D $P/bin/teeny $(to)/bin/teeny
	@install -d $(to)/share/man/man1 $(to)/share/bash-completion/completions $(to)/share/zsh/site-functions \
	  $(to)/share/fish/vendor_completions.d
	@$P/bin/teeny completion man > $(to)/share/man/man1/teeny.1
	@$P/bin/teeny completion bash > $(to)/share/bash-completion/completions/teeny
	@$P/bin/teeny completion zsh > $(to)/share/zsh/site-functions/_teeny
	@$P/bin/teeny completion fish > $(to)/share/fish/vendor_completions.d/teeny.fish
	@install -d $(to)/lib/pkgconfig $(to)/lib/cmake/teeny
	@printf '%s\n' "$$pc" > $(to)/lib/pkgconfig/teeny.pc
	@printf '%s\n' "$$config" > $(to)/lib/cmake/teeny/teenyConfig.cmake
	@printf '%s\n' "$$config_version" > $(to)/lib/cmake/teeny/teenyConfigVersion.cmake
	@chmod 644 $(to)/lib/pkgconfig/teeny.pc $(to)/lib/cmake/teeny/*.cmake
	@echo 'installed teeny under $(DESTDIR)$(PREFIX)'

endif
