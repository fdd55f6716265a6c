# teeny's build: GNU make, a C++20 compiler, and nothing else. `make` alone lists the targets.
#
# What can be chosen on the command line, as in `make BACKEND=reference test`; each configuration has its own folder:
#   BACKEND=cpu|reference|cuda         which folder of tinyops/ is the device
#   ARCH=native|x86-64-v3|...          which processor to compile for: the compiler's -march
#   CUDA_ARCH='75 80 90'               which GPUs: their compute capabilities (default: the machine's, or these)
#   EMULATE=1                          with BACKEND=cuda: the same kernels on the CPU, slow and with every access checked
#   SAN=address,undefined|thread       sanitizers (with clang), and every access checked
#   WERROR=1                           warnings are errors
#   ARGS='--epochs 3'                  options for the program a target runs
#   CXX=clang++-16  CXXFLAGS=-g  V=1   another compiler, more flags, show the commands
BACKEND ?= cpu
ARCH    ?= native
PREFIX  ?= /usr/local
FUZZ    ?= 2000
EMULATE ?=

PACKAGES := g++ make libeigen3-dev doctest-dev nlohmann-json3-dev zlib1g-dev libcli11-dev
EXAMPLES := mnist beautiful_mnist teenygrad_mnist linear_regression two_moons gpt

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help deps examples test test-all bench bench-compare format loc clean install again FORCE $(EXAMPLES)
comma := ,
empty :=
space := $(empty) $(empty)
quote  = '$(subst ','\'',$1)'#   one word for the shell

help: ## this list
	@echo 'make TARGET [BACKEND=cpu|reference|cuda] [ARCH=native] [SAN=address,undefined|thread] [WERROR=1] [ARGS=...]'
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

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

clean: ## remove everything that was built
	rm -rf build compile_commands.json

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

emulated := $(if $(filter cuda,$(BACKEND)),$(if $(filter-out 0,$(EMULATE)),emulated))
on_gpu   := $(if $(emulated),,$(filter cuda,$(BACKEND)))
ifdef on_gpu
  NVCC ?= $(firstword $(shell command -v nvcc 2> /dev/null) $(wildcard $(or $(CUDA_HOME),/usr/local/cuda)/bin/nvcc))
  ifeq (,$(NVCC))
    $(error BACKEND=cuda: there is no nvcc; install the CUDA toolkit (Debian: nvidia-cuda-toolkit) or set CUDA_HOME, or \
      run the kernels on the CPU with EMULATE=1)
  endif
  CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
  CUDA_ARCH ?= $(or $(subst .,,$(shell nvidia-smi --query-gpu=compute_cap --format=csv$(comma)noheader 2> /dev/null | head -n 1)),75 80 90)
endif

sanitizers := $(subst $(comma), ,$(SAN))
ifneq (,$(filter-out address undefined thread,$(sanitizers)))
  $(error SAN=$(SAN): unknown; use address, undefined, address$(comma)undefined or thread)
else ifneq (,$(and $(filter thread,$(sanitizers)),$(filter address,$(sanitizers))))
  $(error SAN=$(SAN): thread and address exclude each other; run one after the other)
endif

ifeq (default,$(origin CXX))
  CXX := $(if $(SAN),clang++-16,g++)
endif

B := build/$(subst $(space),-,$(strip $(BACKEND) $(emulated) $(ARCH) $(sanitizers) $(if $(findstring clang,$(CXX)),clang)))

# -Wrestrict: GCC 12 sees an overlap in `"text" + string` where there is none (its bug 105651).
FLAGS := -std=c++20 -march=$(ARCH) -Wall -Wextra $(if $(findstring clang,$(CXX)),,-Wno-restrict) -I. -pthread $(if $(WERROR),-Werror)
ifneq (,$(SAN))  # under a sanitizer some `omp simd` loops are not vectorised, which clang would warn of
  FLAGS += -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all -DTEENY_CHECKED -Wno-pass-failed
endif

# A program that leaves the work to the library gains nothing from -O3, which takes 1.6 times as long to compile as -O1.
at_leisure  = $(filter examples/% tests/test_% tests/random_graph%,$1)
optimise_of = $(if $(SAN)$(at_leisure),-O1,-O3)

# Only the rooms that need them know of Eigen, OpenMP and the place of the shipped digits.
EIGEN     := $(subst -I,-isystem ,$(or $(shell pkg-config --cflags eigen3 2> /dev/null),-I/usr/include/eigen3))
CPU_FLAGS  = $(EIGEN) -fopenmp $(if $(filter x86_64,$(shell uname -m)),-mprefer-vector-width=512)
DATA_FLAGS = -DTEENY_DATA_DIR=$(call quote,"$(CURDIR)/examples/data")
HOST_FLAGS = -x c++ -Itinyops/cuda/on_host -O1 -g1 -fsanitize=bounds -fno-sanitize-recover=bounds -U_FORTIFY_SOURCE -Wno-unknown-pragmas -Wno-missing-field-initializers
flags_of   = $(FLAGS) $(optimise_of) $(if $(filter tinyops/cuda/%,$1),$(HOST_FLAGS)) $(if $(filter tinyops/cpu/%,$1),$(CPU_FLAGS)) \
  $(if $(filter teeny/data/%,$1),$(DATA_FLAGS)) $(CXXFLAGS)
LIBS      := $(strip $(if $(filter cpu,$(BACKEND)),-fopenmp) $(if $(emulated),-fsanitize=bounds) \
  $(if $(on_gpu),-L$(CUDA_HOME)/lib64 -lcudart_static -ldl -lrt) -lz -pthread)

# Machine code for each of these, and for newer ones PTX, which the driver compiles when the program starts.
newest     = $(lastword $(sort $(CUDA_ARCH)))
NVCC_FLAGS = -std=c++20 -O3 -I. --expt-relaxed-constexpr -lineinfo -ccbin $(lastword $(CXX)) \
  $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$a$(comma)code=sm_$a) -gencode arch=compute_$(newest)$(comma)code=compute_$(newest) \
  -Xcompiler -Wall$(comma)-Wextra$(comma)-Wno-restrict$(comma)-Wno-unused-parameter$(if $(WERROR),$(comma)-Werror -Werror all-warnings)

# Sanitizers name functions and lines through a symbolizer. The one for threads learns from Archer, a part of clang's
# OpenMP, what a parallel loop orders.
symbolizer := $(shell command -v llvm-symbolizer-16 || command -v llvm-symbolizer)
symbols    := $(if $(symbolizer),:external_symbolizer_path=$(symbolizer))
ifneq (,$(filter thread,$(sanitizers)))
  RUN := TSAN_OPTIONS=ignore_noninstrumented_modules=1$(symbols) \
    OMP_TOOL_LIBRARIES=$(abspath $(shell $(CXX) -print-resource-dir)/../../libarcher.so)
else ifneq (,$(SAN))
  RUN := ASAN_OPTIONS=print_legend=0$(symbols) UBSAN_OPTIONS=print_stacktrace=1$(symbols)
endif

# ---- What is built --------------------------------------------------------------------------------------------------

library := $(wildcard teeny/*.cpp teeny/*/*.cpp) tinyops/buffer.cpp tinyops/reference/reference.cpp
ifeq (cpu,$(BACKEND))
  library += $(wildcard tinyops/cpu/*.cpp)
else ifeq (cuda,$(BACKEND))
  library += $(wildcard tinyops/cuda/*.cu) $(if $(emulated),tinyops/cuda/on_host/on_host.cpp)
else
  library += tinyops/$(BACKEND)/device.cpp
endif
tests    := tests/main.cpp $(wildcard tests/random_graph*.cpp tests/test_*.cpp)
programs := $(wildcard examples/*.cpp tests/bench/*.cpp)
sources  := $(library) $(tests) $(programs)
object    = $(patsubst %.cu,$B/%.o,$(patsubst %.cpp,$B/%.o,$1))

LIBTEENY := $B/libteeny.a

$(LIBTEENY): $(call object,$(library)) | compile_commands.json
	@rm -f $@
	$(call say,archive,$@)
	$Qar rcs $@ $^

$B/test: $(call object,$(tests)) $(LIBTEENY)
$B/bench: $B/tests/bench/bench.o $B/tests/bench/peak.o $B/examples/common.o $(LIBTEENY)
$(EXAMPLES:%=$B/%): $B/%: $B/examples/%.o $B/examples/common.o $(LIBTEENY)
$B/test $B/bench $(EXAMPLES:%=$B/%):
	$(call say,link,$@)
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) $^ $(LIBS) -o $@

$B/%.o: %.cpp $B/flags
	@mkdir -p $(@D)
	$(call say,compile,$<)
	$Q$(CXX) $(call flags_of,$<) -MMD -MP -c $< -o $@

$B/%.o: %.cu $B/flags
	@mkdir -p $(@D)
	$(call say,compile,$<)
	$Q$(if $(on_gpu),$(NVCC) $(NVCC_FLAGS) -MF $(@:.o=.d),$(CXX) $(call flags_of,$<)) -MMD -MP -c $< -o $@

-include $(wildcard $(patsubst %.o,%.d,$(call object,$(sources))))

Q   := $(if $(V),,@)
say  = $(if $(V),,@echo '  $1 $2')

# Everything depends on this file, and it changes when the flags do. Before it does, what a compiler would only say in
# its own words is said here: what is missing, and how to get it.
headers := $(if $(filter cpu,$(BACKEND)),Eigen/Core omp.h) zlib.h nlohmann/json.hpp doctest/doctest.h CLI/CLI.hpp
$B/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(CXX) $(FLAGS) $(CPU_FLAGS) $(DATA_FLAGS) $(HOST_FLAGS) $(if $(on_gpu),$(NVCC) $(NVCC_FLAGS)) $(CXXFLAGS)) > $@.$$$$; \
	if cmp -s $@.$$$$ $@; then rm $@.$$$$; exit 0; fi; \
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
compile_commands.json: FORCE
	@{ echo '['; printf '%s\n' $(foreach s,$(sources),$(call quote,$(call entry,$s))) | sed '$$!s/$$/,/'; echo ']'; } > $@.$$$$; \
	if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

# ---- What can be asked for ------------------------------------------------------------------------------------------

# Where other programs run too, threads that wait for each other must sleep: spinning makes a training ten times slower.
$(EXAMPLES) test: export OMP_WAIT_POLICY ?= passive

mnist: ## train a small convnet on MNIST for one epoch
beautiful_mnist: ## train tinygrad's network on MNIST
teenygrad_mnist: ## train teenygrad's network for 100 steps
linear_regression: ## find a line through noisy points
two_moons: ## separate two moons, and draw the border
gpt: ## train a character-level transformer on these sources and let it write
$(EXAMPLES): %: $B/%
	$(RUN) $< $(ARGS)

examples: $(EXAMPLES:%=$B/%) ## build all of these

test: $B/test ## build and run the tests (ARGS='--test-case=*view*')
	$(RUN) $< $(ARGS)

test-all: ## the tests again under sanitizers and on the reference, and a long fuzz (FUZZ=rounds)
	$(MAKE) test
	$(MAKE) test SAN=address,undefined ARGS='--test-case-exclude=*[train]*'
	$(MAKE) test SAN=thread ARGS='--test-case-exclude=*[train]*'
	$(MAKE) test BACKEND=reference ARGS='--test-case-exclude=*[train]*'
	FUZZ=$(FUZZ) $(MAKE) test ARGS='--test-case=*fuzz*'

# A benchmark waits until nothing else runs.
bench: $B/bench | $(filter test test-all $(EXAMPLES),$(MAKECMDGOALS)) ## measure (ONLY=conv,train JSON=file ARGS='--seconds 0.5')
	$(RUN) $< $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON)) $(ARGS)

bench-compare: $B/bench ## teeny beside its peers in one table (PEERS=python that has torch, jax or tinygrad)
	python3 tests/bench/compare.py $< $(PEERS) $(if $(ONLY),--only $(ONLY)) $(ARGS)

sources_by_hand = $(shell find teeny tinyops examples tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' | sort)

format: ## lay out all sources with clang-format-14
	@command -v clang-format-14 > /dev/null || { echo 'clang-format-14 is missing: run apt-get install clang-format-14' >&2; exit 1; }
	clang-format-14 -i $(sources_by_hand)

loc: ## count lines of code, by file and by room; comments and blank lines do not count
	@awk 'FNR == 1 { room = FILENAME; sub("/[^/]*$$", "", room) } \
	  !/^[ \t]*(\/\/.*)?$$/ { file[FILENAME]++; rooms[room]++; all++ } \
	  END { for (f in file) printf "%6d  %s\n", file[f], f | "sort -k2"; close("sort -k2"); print ""; \
	        for (r in rooms) printf "%6d  %s/\n", rooms[r], r | "sort -k2"; close("sort -k2"); printf "%6d  in all\n", all }' \
	  $(sources_by_hand)

install: $(LIBTEENY) ## install headers, libteeny.a and teeny.pc (PREFIX=/usr/local DESTDIR=)
	@for h in $(wildcard teeny/*.h teeny/*/*.h tinyops/*.h); do \
	  install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/$$h || exit 1; done
	install -D -m 644 $(LIBTEENY) $(DESTDIR)$(PREFIX)/lib/libteeny.a
	@install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	@printf '%s\n' 'prefix=$(PREFIX)' 'Name: teeny' 'Description: a deep-learning framework to read' 'Version: 0.1' \
	  'Cflags: -std=c++20 -I$${prefix}/include -pthread' 'Libs: -L$${prefix}/lib -lteeny $(LIBS)' \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/teeny.pc
	@echo 'installed teeny under $(DESTDIR)$(PREFIX)'

endif
