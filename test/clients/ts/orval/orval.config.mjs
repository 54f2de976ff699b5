// How orval makes its client: on fetch, through the fetcher, with the parameters in headers, and
// with encoded parameters in paths, which it leaves as they are otherwise.
export default {
  kvgateway: {
    input: "../../../../api/openapi.yaml",
    output: {
      target: "gen/client.ts",
      client: "fetch",
      headers: true,
      urlEncodeParameters: true,
      override: { mutator: { path: "./fetcher.ts", name: "fetcher" } },
    },
  },
};
