export const KUBERNETES_VERSION = '1.33.4';
/** The etcd version that Kubernetes 1.33 is released with. */
const ETCD_VERSION = '3.5.21';
export const TEMPORAL_VERSION = '1.8.2';
export const VERSITYGW_VERSION = '1.8.0';
export const HELM_VERSION = '4.2.4';
/** The oldest Helm that the chart is rendered with. */
export const HELM_3_VERSION = '3.19.0';
export const JAEGER_VERSION = '2.13.0';
/** Tag of that release, and version of its Go module. */
const JAEGER_TAG = '1.76.0';
/** Its Go module has the version 0.316.0. */
export const PROMETHEUS_VERSION = '3.16.0';

export type Architecture = 'amd64' | 'arm64';

/** Place where a program is published. */
export interface Release {
  /** Key of SITES. */
  readonly site: keyof typeof SITES;
  readonly path: string;
  /** The file inside a .tar.gz; absent if `path` is the program itself. */
  readonly member?: string;
  /** SHA-256 of the file at `path`. */
  readonly sha256?: string;
  /** Path of the file with the published checksum; used if it is not pinned here. */
  readonly checksums: string;
}

export const SITES = {
  kubernetes: 'https://dl.k8s.io',
  github: 'https://github.com',
  helm: 'https://get.helm.sh',
} as const;

/** Checksums as the projects publish them, pinned so that a changed file is noticed. */
const PINNED: Readonly<Record<string, string>> = {
  'amd64/kube-apiserver': 'd4cf921f007c75a446fc66cd9e73cf245ec049459989a71e3ef2e346ddceed2e',
  'amd64/kube-controller-manager': '13d58af4feea90b014c5e931cccdbbeb90c6ba1d509172ff87f91f1fcec05a41',
  'amd64/kube-scheduler': 'e9883a018508dc2e09a86dbd9bee100a5fbf5253b4db05f32d3f2f41c8e31cd4',
  'amd64/kubectl': 'c2ba72c115d524b72aaee9aab8df8b876e1596889d2f3f27d68405262ce86ca1',
  'arm64/kubectl': '76cd7a2aa59571519b68c3943521404cbce55dafb7d8866f8d0ea2995b396eef',
  'amd64/etcd': 'adddda4b06718e68671ffabff2f8cee48488ba61ad82900e639d108f2148501c',
  'arm64/etcd': '95bf6918623a097c0385b96f139d90248614485e781ec9bee4768dbb6c79c53f',
  'amd64/temporal': 'd8421bda989e6514b4bdb4d63a9012a8a05a806892e881a5aad8510496349a94',
  'arm64/temporal': '83600a8fac6e3da54093e5da6918d399f501532b9f1172235603f9606f4ac6e4',
};

/** The programs of the servers, each with its official release for Linux by architecture. */
export const RELEASES = {
  etcd: (arch: Architecture): Release => {
    const folder = `/etcd-io/etcd/releases/download/v${ETCD_VERSION}`;
    const name = `etcd-v${ETCD_VERSION}-linux-${arch}`;
    return {
      site: 'github',
      path: `${folder}/${name}.tar.gz`,
      member: `${name}/etcd`,
      sha256: PINNED[`${arch}/etcd`],
      checksums: `${folder}/SHA256SUMS`,
    };
  },
  'kube-apiserver': kubernetes('kube-apiserver'),
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  kubectl: kubernetes('kubectl'),
  temporal: (arch: Architecture): Release => {
    const folder = `/temporalio/cli/releases/download/v${TEMPORAL_VERSION}`;
    return {
      site: 'github',
      path: `${folder}/temporal_cli_${TEMPORAL_VERSION}_linux_${arch}.tar.gz`,
      member: 'temporal',
      sha256: PINNED[`${arch}/temporal`],
      checksums: `${folder}/checksums.txt`,
    };
  },
  versitygw: (arch: Architecture): Release => {
    const folder = `/versity/versitygw/releases/download/v${VERSITYGW_VERSION}`;
    const name = `versitygw_v${VERSITYGW_VERSION}_Linux_${arch === 'amd64' ? 'x86_64' : arch}`;
    return {
      site: 'github',
      path: `${folder}/${name}.tar.gz`,
      member: `${name}/versitygw`,
      checksums: `${folder}/checksums.txt`,
    };
  },
  helm: helm(HELM_VERSION),
  'helm-3': helm(HELM_3_VERSION),
  jaeger: (arch: Architecture): Release => {
    const folder = `/jaegertracing/jaeger/releases/download/v${JAEGER_TAG}`;
    const name = `jaeger-${JAEGER_VERSION}-linux-${arch}`;
    return {
      site: 'github',
      path: `${folder}/${name}.tar.gz`,
      member: `${name}/jaeger`,
      checksums: `${folder}/jaeger-${JAEGER_VERSION}.sha256sum.txt`,
    };
  },
  prometheus: prometheus('prometheus'),
  promtool: prometheus('promtool'),
};
export type ProgramName = keyof typeof RELEASES;
/** The programs of the tests of the chart: the current Helm, and the oldest that it supports. */
export const CHART_PROGRAMS = ['helm', 'helm-3'] as const satisfies ProgramName[];
/** The programs that show traces and read metrics. Tests that need them are skipped where they are missing: their builds take minutes. */
export const TELEMETRY_PROGRAMS = ['jaeger', 'prometheus', 'promtool'] as const satisfies ProgramName[];
const SPECIAL: readonly ProgramName[] = [...CHART_PROGRAMS, ...TELEMETRY_PROGRAMS];
/** The programs of the other tests. */
export const ALL_PROGRAMS = (Object.keys(RELEASES) as ProgramName[]).filter(name => !SPECIAL.includes(name));
/** The programs of `npm start`. Only the tests use the S3 server. */
export const PROGRAM_NAMES = ALL_PROGRAMS.filter(name => name !== 'versitygw');

function kubernetes(name: string): (arch: Architecture) => Release {
  return arch => {
    const path = `/release/v${KUBERNETES_VERSION}/bin/linux/${arch}/${name}`;
    return { site: 'kubernetes', path, sha256: PINNED[`${arch}/${name}`], checksums: `${path}.sha256` };
  };
}

function helm(version: string): (arch: Architecture) => Release {
  return arch => {
    const path = `/helm-v${version}-linux-${arch}.tar.gz`;
    return { site: 'helm', path, member: `linux-${arch}/helm`, checksums: `${path}.sha256sum` };
  };
}

function prometheus(program: string): (arch: Architecture) => Release {
  return arch => {
    const folder = `/prometheus/prometheus/releases/download/v${PROMETHEUS_VERSION}`;
    const name = `prometheus-${PROMETHEUS_VERSION}.linux-${arch}`;
    return {
      site: 'github',
      path: `${folder}/${name}.tar.gz`,
      member: `${name}/${program}`,
      checksums: `${folder}/sha256sums.txt`,
    };
  };
}

/** The Go modules of this folder: the programs that each builds, and how the build sets the version. */
export const MODULES = {
  kubernetes: {
    folder: 'kubernetes',
    package: '.',
    program: 'control-plane',
    provides: ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'],
    flags: [
      `k8s.io/component-base/version.gitVersion=v${KUBERNETES_VERSION}`,
      `k8s.io/component-base/version.gitMajor=${KUBERNETES_VERSION.split('.')[0]}`,
      `k8s.io/component-base/version.gitMinor=${KUBERNETES_VERSION.split('.')[1]}`,
      `k8s.io/client-go/pkg/version.gitVersion=v${KUBERNETES_VERSION}`,
    ],
    minutes: 10,
  },
  temporal: {
    folder: 'temporal',
    package: 'github.com/temporalio/cli/cmd/temporal',
    program: 'temporal',
    provides: ['temporal'],
    flags: [`github.com/temporalio/cli/internal/temporalcli.Version=${TEMPORAL_VERSION}`],
    minutes: 5,
  },
  versitygw: {
    folder: 'versitygw',
    package: 'github.com/versity/versitygw/cmd/versitygw',
    program: 'versitygw',
    provides: ['versitygw'],
    flags: [`main.Version=${VERSITYGW_VERSION}`],
    minutes: 2,
  },
  helm: {
    folder: 'helm',
    package: 'helm.sh/helm/v4/cmd/helm',
    program: 'helm',
    provides: ['helm'],
    flags: [`helm.sh/helm/v4/internal/version.version=v${HELM_VERSION}`],
    minutes: 3,
  },
  'helm-3': {
    folder: 'helm-3',
    package: 'helm.sh/helm/v3/cmd/helm',
    program: 'helm-3',
    provides: ['helm-3'],
    flags: [
      `helm.sh/helm/v3/internal/version.version=v${HELM_3_VERSION}`,
      // Without these, this Helm takes a cluster for version 1.20, which the chart rejects.
      `helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=${KUBERNETES_VERSION.split('.')[0]}`,
      `helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=${KUBERNETES_VERSION.split('.')[1]}`,
    ],
    minutes: 3,
  },
  jaeger: {
    folder: 'jaeger',
    package: 'github.com/jaegertracing/jaeger/cmd/jaeger',
    program: 'jaeger',
    provides: ['jaeger'],
    flags: [`github.com/jaegertracing/jaeger/internal/version.latestVersion=v${JAEGER_VERSION}`],
    minutes: 10,
  },
  prometheus: prometheusModule('prometheus'),
  promtool: prometheusModule('promtool'),
} as const satisfies Record<string, Module>;

function prometheusModule<const Name extends 'prometheus' | 'promtool'>(program: Name) {
  return {
    folder: 'prometheus',
    package: `github.com/prometheus/prometheus/cmd/${program}`,
    program,
    provides: [program],
    flags: [`github.com/prometheus/common/version.Version=${PROMETHEUS_VERSION}`],
    // The discovery of targets in clouds is a third of the code. The tests list their targets.
    tags: 'remove_all_sd',
    minutes: 5,
  } as const;
}

export interface Module {
  readonly folder: string;
  readonly package: string;
  /** Name of the built program. */
  readonly program: string;
  /** Programs that it provides. It chooses one by the name that it is called with. */
  readonly provides: readonly ProgramName[];
  /** `importpath.name=value` for the linker. */
  readonly flags: readonly string[];
  /** Build tags, separated by commas. */
  readonly tags?: string;
  /** Approximate minutes of a first build on two cores. */
  readonly minutes: number;
}
