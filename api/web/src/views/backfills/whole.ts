import { data, type Api, type components } from "../../api/client.ts";

/** One operation takes so many; a large group takes several, each with a key of its own. Gives how many it was done to. */
export async function whole(api: Api, body: components["schemas"]["InstancesOperation"], key: { "Idempotency-Key": string }): Promise<number> {
  let done = 0;
  for (let n = 0; ; n++) {
    const header = n === 0 ? key : { "Idempotency-Key": `${key["Idempotency-Key"]}-${n}` };
    const result = await data(api.POST("/v1/instances/operate", { params: { header }, body }));
    done += result.instances;
    if (!result.more) return done;
  }
}
